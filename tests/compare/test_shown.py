"""How a comparison is shown: lines, page, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from hkd_edge.cli import cli
from hkd_edge.compare.comparison import Comparison, compare_runs
from hkd_edge.compare.page import comparison_page
from hkd_edge.compare.runs import read_runs
from hkd_edge.compare.tables import STAGES, runs_table
from hkd_edge.compare.text import comparison_lines
from hkd_edge.evaluate.result import Validation
from hkd_edge.report.page import NOTHING
from hkd_edge_runtime.errors import HkdEdgeError
from tests.compare.conftest import Compose
from tests.conftest import Command
from tests.report.html_checks import Page

NASTY = "<b>'n' & $5 _x_</b>"


@pytest.fixture
def comparison(compose: Compose) -> Comparison:
    first, second = compose("plain", 0, 0.25), compose("distilled", 1, 0.05, f'name: "{NASTY}"')
    return compare_runs(read_runs([first, second]))


def test_the_lines_show_each_table_in_columns_and_end_in_sentences(comparison: Comparison) -> None:
    lines = list(comparison_lines(comparison))
    header = next(line for line in lines if line.startswith("artefact "))
    row = next(line for line in lines if line.startswith("tensorrt int8     distilled"))
    assert len(row) <= len(header)
    assert row.split()[-5:] == ["99.50", NOTHING, NOTHING, "123", "no"]
    assert any(line.startswith("student: distilled is right on ") for line in lines)
    assert any(line.startswith("seed ") for line in lines)


def test_the_stages_are_told_in_the_order_of_the_pipeline(comparison: Comparison) -> None:
    from hkd_edge.pipeline import STAGES as PIPELINE

    names = tuple(stage.name for stage in PIPELINE)
    assert tuple(name for name in STAGES if name in names) == names
    assert runs_table(comparison).headers[-2:] == ("teach s", "distill s")


def test_the_page_is_whole_self_contained_and_told_in_words(comparison: Comparison) -> None:
    html = comparison_page(comparison)
    page = Page(html)
    assert page.problems == []
    assert len(page.of("svg")) == 2
    assert "<b>" not in html
    assert NASTY in page.text
    assert "distilled is more accurate." in page.text
    assert "distilled against plain, openvino int8, by class" in page.text
    assert html == comparison_page(comparison)


def test_a_page_of_artefacts_that_were_not_timed_has_no_drawing_of_latencies(
    compose: Compose, drawn: Validation
) -> None:
    rows = tuple(replace(row, timings=()) for row in drawn.rows)
    page = Page(comparison_page(compare_runs(read_runs([compose("a", rows=rows), compose("b", rows=rows)]))))
    assert len(page.of("svg")) == 1
    assert "No artefact was timed." in page.text
    assert "Between the recipes nothing differs." in page.text


def test_the_command_prints_and_writes_what_is_asked(compose: Compose, tmp_path: Path) -> None:
    runs = [str(compose("a", 0, 0.25)), str(compose("b", 1, 0.05))]
    files = ["-o", str(tmp_path / "new" / "c.html"), "--json", str(tmp_path / "c.json")]
    result = CliRunner().invoke(cli, ["compare", *runs, "--baseline", "2", *files])
    assert result.exit_code == 0, result.output
    assert "a is right on" in result.output
    assert json.loads((tmp_path / "c.json").read_text())["baseline"] == "b"
    assert (tmp_path / "new" / "c.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "expected two or more runs, got 1"), (("b", "--baseline", "3"), "expected a number from 1 to 2, got 3")],
)
def test_a_wrong_command_line_is_a_usage_error(compose: Compose, arguments: tuple[str, ...], said: str) -> None:
    first, second = compose("a"), compose("b")
    given = [str(second) if argument == "b" else argument for argument in arguments]
    result = CliRunner().invoke(cli, ["compare", str(first), *given])
    assert result.exit_code == 2
    assert said in result.output


def test_a_run_without_validation_ends_with_6(compose: Compose, hkd_edge: Command) -> None:
    first, second = compose("a"), compose("b")
    (second / "validation.json").unlink()
    result = hkd_edge("compare", first, second)
    assert result.returncode == 6
    assert result.stderr.startswith("error: ")
    assert "hkd-edge validate" in result.stderr


def test_a_file_that_cannot_be_written_is_no_traceback(compose: Compose, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    arguments = ["compare", str(compose("a")), str(compose("b")), "--json", str(tmp_path / "taken" / "c.json")]
    with pytest.raises(HkdEdgeError, match="expected a file that can be written"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
