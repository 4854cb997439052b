"""Every student of docs/students.md goes the whole way: exported, quantized, run by both runtimes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from hkd_edge.evaluate.artefacts import agreement_percent, answer, top1_percent
from hkd_edge.models.build import build
from hkd_edge.models.network import count_parameters
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.lint_int8 import UNSIGNED_INT8_RULES

# Sums in another order, over up to 50 layers, and the running statistics of a moment's training.
MAX_LOGIT_ERROR = 1e-3
MIN_AGREEMENT_PERCENT = 95.0

SLOW = pytest.mark.slow
CASES = [
    pytest.param(("residual_28", 1), id="residual-28-grey"),
    pytest.param(("plain_32", 3), id="plain-32-colour"),
    pytest.param(("mobile_96", 3), id="mobile-96-colour"),
    pytest.param(("residual_32", 3), id="residual-32-colour", marks=SLOW),
    pytest.param(("plain_32", 1), id="plain-32-grey", marks=SLOW),
    pytest.param(("mobile_96", 1), id="mobile-96-grey", marks=SLOW),
    pytest.param(("residual_96", 3), id="residual-96-colour", marks=SLOW),
    pytest.param(("mobile_224", 3), id="mobile-224-colour", marks=SLOW),
    pytest.param(("mobilenet_v3_small", 3), id="mobilenet_v3_small-96-colour", marks=SLOW),
    pytest.param(("mobilenet_v3_small", 1), id="mobilenet_v3_small-96-grey", marks=SLOW),
    pytest.param(("resnet18", 3), id="resnet18-96-colour", marks=SLOW),
    pytest.param(("resnet18", 1), id="resnet18-96-grey", marks=SLOW),
]
every_student = pytest.mark.parametrize("case", CASES)


@every_student
def test_onnxruntime_and_openvino_give_the_logits_of_torch(made, case) -> None:
    student = made(*case)
    for artefact in (student.fp32, student.fp32_ir):
        assert np.abs(answer(artefact, student.images).logits - student.logits).max() < MAX_LOGIT_ERROR
    assert top1_percent(student.logits, student.labels) > 80, "too little learnt to compare answers by"


@every_student
def test_int8_answers_like_torch_and_alike_on_both_runtimes(made, case) -> None:
    student = made(*case)
    onnxruntime, openvino = (answer(artefact, student.images).logits for artefact in (student.int8, student.int8_ir))
    assert agreement_percent(onnxruntime, student.logits) >= MIN_AGREEMENT_PERCENT
    assert agreement_percent(openvino, student.logits) >= MIN_AGREEMENT_PERCENT
    assert agreement_percent(onnxruntime, openvino) >= MIN_AGREEMENT_PERCENT


@every_student
def test_files_keep_their_contract_and_nothing_reshapes(made, case) -> None:
    student = made(*case)
    lint_onnx(student.int8.path, rules=UNSIGNED_INT8_RULES)
    graph = lint_onnx(student.fp32.path).graph
    assert "Reshape" not in {node.op_type for node in graph.node}


@every_student
def test_every_weighted_layer_is_quantized(made, case) -> None:
    graph = onnx.load(made(*case).int8.path).graph
    producers = {name: node.op_type for node in graph.node for name in node.output}
    weighted = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert {producers[name] for node in weighted for name in node.input[:2]} == {"DequantizeLinear"}


def test_the_documented_numbers_of_parameters_are_right(students, documented_table) -> None:
    counted = {
        name: f"{count_parameters(build(student.architecture, student.image[2], 10)):,}"
        for name, student in students.items()
    }
    assert {name: row["parameters"] for name, row in documented_table.items()} == counted


def test_the_documented_images_are_right(students, documented_table) -> None:
    told = {name: " x ".join(map(str, student.image)) for name, student in students.items()}
    assert {name: row["image"] for name, row in documented_table.items()} == told


def test_every_documented_student_is_tested(students) -> None:
    assert {case.values[0][0] for case in CASES} == set(students)
