"""The verdict in the forms that continuous integration reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hkd_edge.evaluate.result import Gate, Validation
from hkd_edge.validation.junit import github_annotations, write_junit
from tests.validations import drawn_validation

FAILED = Gate("max_p95_ms", "ort, int8", "failed", "<= 5 ms", "7 ms & 100 %\nor <more>\x07", "test images")


@pytest.fixture
def validation() -> Validation:
    drawn = drawn_validation()[0]
    return replace(drawn, gates=(*drawn.gates, FAILED), verdict="failed")


def test_each_gate_is_a_test_case(validation: Validation, tmp_path: Path) -> None:
    write_junit(tmp_path / "gates.xml", validation)
    suite = ElementTree.parse(tmp_path / "gates.xml").getroot().find("testsuite")
    assert suite is not None
    counts = {"tests": "5", "failures": "1", "skipped": "2", "errors": "0"}
    assert suite.attrib == {"name": "hkd-edge validate drawn", **counts}
    cases = suite.findall("testcase")
    assert (cases[0].get("classname"), cases[0].get("name")) == ("onnxruntime int8", "max_top1_drop")
    failure = cases[-1].find("failure")
    assert failure is not None
    assert failure.get("message") == "expected <= 5 ms, got 7 ms & 100 %\nor <more> (test images)"
    skipped = [case.find("skipped") for case in cases[2:4]]
    assert [each.get("message") for each in skipped if each is not None] == [
        "expected <= 5 ms, got tensorrt cannot run here",
        "held back: expected faster than fp32, got 0.91x the speed of fp32",
    ]


def test_annotations_are_escaped_and_name_what_did_not_pass(
    validation: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    notice, warning, error = github_annotations(validation)
    assert notice.startswith("::notice title=tensorrt int8%3A max_p95_ms::")
    assert warning.startswith("::warning title=openvino int8%3A int8_must_be_faster::expected faster than fp32")
    assert error == (
        "::error title=ort%2C int8%3A max_p95_ms::expected <= 5 ms, got 7 ms & 100 %25%0Aor <more>\x07 (test images)"
    )


def test_elsewhere_there_are_no_annotations(validation: Validation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert list(github_annotations(validation)) == []
