"""Artefacts on their runtimes: a file that one of them answers wrongly from is caught by the gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hkd_edge.data import digits
from hkd_edge.evaluate.artefacts import Artefact, agreement_percent, answer, measure_latency
from hkd_edge.evaluate.verdict import Measured, judge
from hkd_edge.recipe.delivery import Validate
from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_runtime.evaluation import top1_percent
from tests.export.broken_export import write_broken_export


def test_a_broken_export_is_caught_by_the_lint_and_on_the_runtime_that_is_wrong_by_the_gate(tmp_path: Path) -> None:
    fp32, int8 = write_broken_export(tmp_path)
    with pytest.raises(ExportError, match="Gather"):
        lint_onnx(int8)
    test = digits.load(None, download=False).test
    files = [
        Artefact("onnxruntime", "int8", int8),
        Artefact("openvino", "int8", to_openvino(int8, tmp_path / "int8.xml")),
    ]
    reference = answer(Artefact("onnxruntime", "fp32", fp32), test.images).logits
    logits = [answer(file, test.images).logits for file in files]
    measured = [
        Measured(file.target, "int8", top1_percent(each, test.labels), agreement_percent(each, reference), 1.0)
        for file, each in zip(files, logits, strict=True)
    ]
    right, wrong = judge(measured, top1_percent(reference, test.labels), Validate())
    assert right.shipped
    assert not wrong.accurate
    assert "expected to agree with the torch student on >= 98 %" in wrong.reason
    assert agreement_percent(*logits) < 80


def test_what_stands_in_for_another_runtime_is_never_timed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected targets that run here, got tensorrt"):
        measure_latency(
            [Artefact("tensorrt", "fp32", tmp_path / "x.onnx")], np.zeros((1, 8, 8, 1), np.uint8), runs=1, threads=1
        )
