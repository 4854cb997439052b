"""Artefacts on their runtimes: a file that one of them answers wrongly from is caught by the gates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hkd_edge.data import digits
from hkd_edge.evaluate.artefacts import Artefact, answer
from hkd_edge.evaluate.gates import MAX_LOST_BY_CHANCE
from hkd_edge.evaluate.subject import ReferenceAnswers, Subject
from hkd_edge.evaluate.timing import time_artefacts
from hkd_edge.evaluate.validate import failure, validate
from hkd_edge.recipe.delivery import Validate
from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_runtime.hierarchy import Hierarchy
from tests.export.broken_export import write_broken_export


def test_a_broken_export_is_caught_by_the_lint_and_on_the_runtime_that_is_wrong_by_the_gates(tmp_path: Path) -> None:
    fp32, int8 = write_broken_export(tmp_path)
    with pytest.raises(ExportError, match="Gather"):
        lint_onnx(int8)
    test = digits.load(None, download=False).test
    reference = answer(Artefact("onnxruntime", "fp32", fp32), test.images)
    subject = Subject(
        name="broken",
        kind="run",
        root=tmp_path,
        artefacts=[
            Artefact("onnxruntime", "int8", int8),
            Artefact("openvino", "int8", to_openvino(int8, tmp_path / "int8.xml")),
        ],
        hierarchy=Hierarchy(tuple("0123456789")),
        test=test,
        images="all test images of digits",
        choice=test,
        reference=ReferenceAnswers("torch student", reference, reference),
    )
    validation, _ = validate(subject, Validate(latency_runs=10), lambda text, done, total: None)
    right, wrong = validation.rows
    assert right.shipped
    assert not wrong.accurate
    assert validation.verdict == "failed"
    failed = {(gate.name, gate.subject) for gate in validation.failed_gates}
    assert failed >= {
        ("min_agreement", "openvino int8"),
        ("max_top1_drop", "openvino int8"),
        ("max_class_drop", "openvino int8"),
        ("min_cross_agreement", "onnxruntime and openvino int8"),
        ("something_ships", "openvino"),
    }
    assert not any("onnxruntime" in subject and "openvino" not in subject for _, subject in failed)
    assert max(wrong.test_difference.class_lost.values()) > MAX_LOST_BY_CHANCE
    told = failure(validation)
    assert "openvino int8: min_agreement: expected to answer >= 98 % of the images like the reference, got " in told
    assert validation.cross_agreement[0].agreement < 80


def test_what_stands_in_for_another_runtime_is_never_timed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected targets that run here, got tensorrt"):
        time_artefacts(
            [Artefact("tensorrt", "fp32", tmp_path / "x.onnx")], np.zeros((1, 8, 8, 1), np.uint8), runs=1, threads=1
        )
