"""The reference of recipes says what the schema says."""

from __future__ import annotations

import re

from hkd_edge.recipe.outline import all_keys, keys_of, node_at
from hkd_edge.recipe.reference import recipe_reference

PAGE = recipe_reference()


def row(key: str) -> str:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{key}` |")]
    return line


def test_a_key_has_limits_unit_default_and_typical_values() -> None:
    assert row("ema_decay").startswith(
        "| `ema_decay` | a number >= 0 and < 1 | `0.0` | 0 or 0.99 to 0.9999 | Decay per step"
    )
    assert "| a whole number >= 0 (pixels) | `0` | 0 to 4 |" in row("shift_px")
    assert "| a number > 0 and < 1 (0 to 1) | `0.1` |" in row("validation_fraction")
    assert "| required |" in row("dataset")
    assert 'one of "auto", "fp32", "bf16"' in row("precision")


def test_typical_values_are_told_once() -> None:
    assert "Typical values are" not in PAGE


def test_a_section_that_stands_in_several_places_is_described_once() -> None:
    assert PAGE.count("## training") == 1
    assert "Stands at `teacher.training`, `task_teacher.training`, `distill.training`." in PAGE


def test_each_section_has_the_rows_of_its_keys() -> None:
    rows = len(re.findall(r"^\| `", PAGE, re.MULTILINE))
    repeated = ["student.architecture", "distill.training", "task_teacher"]
    repeated += [f"task_teacher.{part}" for part in ("architecture", "training", "foreign", "foreign.input")]
    counted_again = sum(len(keys_of(node_at(tuple(path.split("."))))) for path in repeated)
    assert rows == len(all_keys()) - counted_again


def test_links_are_those_that_it_is_given() -> None:
    assert "](data.md)" not in PAGE
    assert "More: [data.md](data.md)." in recipe_reference({"data": "[data.md](data.md)"})


def test_bars_inside_of_cells_are_escaped() -> None:
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in PAGE.splitlines() if line.startswith("|")}
    assert widths == {6}
