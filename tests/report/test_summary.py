"""The Markdown that a person sees at the end of a run."""

from __future__ import annotations

from dataclasses import replace

from hkd_edge.report.summary import markdown_summary
from tests.validations import drawn_validation


def test_the_table_comes_first_and_its_columns_are_straight() -> None:
    validation, _ = drawn_validation()
    lines = markdown_summary(validation).splitlines()
    assert lines[0] == "# drawn: passed"
    table = lines[2 : 2 + 2 + len(validation.rows)]
    assert all(line.startswith("|") for line in table)
    assert len({len(line) for line in table}) == 1


def test_a_row_tells_what_was_measured() -> None:
    validation, _ = drawn_validation()
    row = validation.rows[1]
    assert row.latency is not None
    found = next(line for line in markdown_summary(validation).splitlines() if line.startswith("| onnxruntime int8"))
    cells = [cell.strip() for cell in found.strip("|").split("|")]
    expected = [
        f"{row.test.top1:.2f}",
        "0.10",
        "99.50",
        f"{row.latency.p50_ms:.3f}",
        f"{row.latency.p95_ms:.3f}",
        "123",
    ]
    assert [cells[1], *cells[3:8]] == expected
    assert cells[-1] == "yes"


def test_what_the_numbers_mean_stands_below() -> None:
    text = markdown_summary(drawn_validation()[0])
    assert "- onnxruntime int8: ships, 1.50x the speed of fp32 at batch 1" in text
    assert "tensorrt cannot run here; its answers are those of onnxruntime 1.0 in the place of tensorrt" in text
    assert "Same int8 answer: onnxruntime and openvino 98.50 %." in text
    assert "Thresholds by 20 validation images for 99 % right answers at a level of 95 %" in text


def test_a_name_cannot_break_the_table() -> None:
    validation, _ = drawn_validation()
    row = replace(validation.rows[0], target="a|b")
    assert "| a\\|b fp32" in markdown_summary(replace(validation, rows=(row,)))
