"""The three files of a report: what they show, what they leave out, and what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hkd_edge.errors import RunDirectoryError
from hkd_edge.evaluate.result import read_validation
from hkd_edge.pipeline import STAGES as PIPELINE
from hkd_edge.report.material import STAGES
from hkd_edge.report.write import write_report
from hkd_edge_runtime.hierarchy import Hierarchy
from hkd_edge_runtime.strict import encode
from tests.report.html_checks import Page
from tests.report.runs import BOARD, NASTY, PRIVATE, SECTIONS_OF_A_BARE_VALIDATION, failed, nasty, write_bare, write_run
from tests.validations import drawn_validation


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with names that must be escaped, and its report; tests must not change it."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "drawn", nasty())
    assert [path.name for path in write_report(folder)] == ["report.html", "report.md", "report.json"]
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page((run / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def failed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_bare(tmp_path_factory.mktemp("failed"), failed())
    write_report(folder)
    return folder


def test_the_page_is_well_formed_self_contained_and_told_in_words(page: Page) -> None:
    assert page.problems == []
    assert len(page.of("svg")) >= 8
    assert len(page.of("img")) >= 3
    assert {svg["role"] for svg in page.of("svg")} == {"img"}


def test_each_part_of_the_run_has_its_section(page: Page) -> None:
    anchors = [section["id"] for section in page.of("section")]
    assert anchors == [
        *("summary", "pipeline", "learning-curves", "hierarchy", "way-to-int8", "speed-and-size", "confusion-matrix"),
        *("classes-and-concepts", "agreement", "worst-mistakes", "calibration", "sure-answers", "gates", "boards"),
        "provenance",
    ]


def test_names_are_escaped_and_shown_as_they_are(run: Path, page: Page) -> None:
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in html
    assert "<i>" not in html
    assert "<tops>" not in html
    for name in NASTY:
        assert page.text.count(name) >= 5


def test_what_other_files_tell_is_shown(page: Page) -> None:
    for text in (
        "5 min 1 s",
        "1,234 parameters",
        "700 train",
        "0.50 of the 2.00 bits",
        "lost 0.20 points",
        "torch 2.99",
    ):
        assert text in page.text
    for text in ("A drawn board", "4.250", "tensorrt is not installed", "the machine was busy", "<none> & all"):
        assert text in page.text


def test_nothing_of_this_machines_folders_is_told(run: Path) -> None:
    for name in ("report.html", "report.md", "report.json"):
        assert PRIVATE not in (run / name).read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    write_report(write_run(tmp_path / "again", nasty()))
    for name in ("report.html", "report.md", "report.json"):
        assert (tmp_path / "again" / name).read_bytes() == (run / name).read_bytes()


def test_a_bare_validation_leaves_out_what_is_not_there(failed_run: Path) -> None:
    html = (failed_run / "report.html").read_text(encoding="utf-8")
    assert [text for text in SECTIONS_OF_A_BARE_VALIDATION if f">{text}</h2>" not in html] == []
    assert html.count("<h2") == len(SECTIONS_OF_A_BARE_VALIDATION)
    assert not {"stage_seconds", "trainings", "boards", "recipe"} & set(
        json.loads((failed_run / "report.json").read_text())
    )


def test_failed_gates_stand_at_the_top_of_the_page_and_of_the_markdown(failed_run: Path) -> None:
    page = Page((failed_run / "report.html").read_text(encoding="utf-8"))
    assert page.problems == []
    told = "max_top1_drop of openvino int8: expected <= 0.5 points, measured 7.3 points (100 validation images)"
    assert page.text.index(told) < page.text.index("All artefacts")
    assert "1 gate failed; do not ship these files." in page.text
    markdown = (failed_run / "report.md").read_text(encoding="utf-8")
    assert markdown.startswith(f"# drawn: failed\n\n- **failed** {told}\n\n| artefact")


def test_the_json_is_the_validation_and_what_was_computed_of_it(run: Path) -> None:
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert (report["format"], report["format_version"]) == ("hkd-edge-report", 1)
    assert report["validation"] == encode(read_validation(run))
    assert report["stage_seconds"]["teach"] == 121.5
    assert report["boards"][0]["rows"][0]["p50_ms"] == BOARD["rows"][0]["latency"]["p50_ms"]  # type: ignore[index]
    _, arrays = drawn_validation()
    subject = arrays["onnxruntime-int8"]
    counts = np.asarray(report["findings"]["confusion"]["counts"])
    assert np.trace(counts) == (subject.argmax(axis=1) == arrays["labels"]).sum()
    assert len(report["findings"]["mistakes"]) == min(12, len(arrays["mistakes"]))


def test_a_run_without_mistakes_teacher_timings_or_axes_still_has_a_report(tmp_path: Path) -> None:
    validation, arrays = drawn_validation(errors=0.0)
    rows = tuple(replace(row, timings=(), cold_start=None, confidence=None, decided=None) for row in validation.rows)
    bare = replace(validation, hierarchy=Hierarchy(validation.classes), rows=rows, gates=(), cross_agreement=())
    kept = {name: each for name, each in arrays.items() if not name.startswith(("seconds", "concept"))}
    write_report(write_bare(tmp_path / "run", bare, kept))
    page = Page((tmp_path / "run/report.html").read_text(encoding="utf-8"))
    assert page.problems == []
    anchors = [section["id"] for section in page.of("section")]
    assert not {"gates", "worst-mistakes", "speed-and-size", "sure-answers"} & set(anchors)


def test_a_folder_without_a_validation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"expected the result of a validation.*hkd-edge validate"):
        write_report(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "student/metrics.json").write_text('{"epochs": 3}')
    with pytest.raises(RunDirectoryError, match=r"student/metrics.json: expected what hkd-edge writes there, got: "):
        write_report(run)


def test_arrays_that_do_not_fit_the_validation_are_refused(tmp_path: Path) -> None:
    validation, arrays = drawn_validation()
    del arrays["openvino-int8"]
    with pytest.raises(RunDirectoryError, match="expected the arrays of the validation, got none called openvino-int8"):
        write_report(write_bare(tmp_path / "run", validation, arrays))


def test_the_stages_are_those_of_the_pipeline() -> None:
    assert tuple(stage.name for stage in PIPELINE) == (*STAGES, "report")  # its own time it cannot tell


def test_the_command_names_the_files_that_it_wrote(hkd_edge, run: Path) -> None:
    result = hkd_edge("report", run)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [str(run / f"report.{suffix}") for suffix in ("html", "md", "json")]
