from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.lint_tensorrt import TENSORRT_INT8_RULES
from hkd_edge_export.signed import to_signed


@pytest.fixture(scope="module")
def signed(exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_signed(exported.int8, tmp_path_factory.mktemp("signed") / "signed.onnx")


@pytest.fixture
def model(signed: Path) -> onnx.ModelProto:
    return onnx.load(signed)


def _add(model: onnx.ModelProto, name: str, value: np.generic | np.ndarray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def _set_zero_point(model: onnx.ModelProto, value: np.generic) -> None:
    """Gives the quantizer and the dequantizer behind the first ReLU another zero point."""
    _add(model, "planted", value)
    for node in model.graph.node:
        if node.name in ("QuantizeLinear_relu_0_1", "DequantizeLinear_relu_0_1"):
            node.input[2] = "planted"


def unsign_an_activation(model: onnx.ModelProto) -> None:
    _set_zero_point(model, np.uint8(0))


def move_a_zero_point(model: onnx.ModelProto) -> None:
    _set_zero_point(model, np.int8(3))


def leave_out_a_zero_point(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.name in ("QuantizeLinear_relu_0_1", "DequantizeLinear_relu_0_1"):
            del node.input[2]


def quantize_a_bias(model: onnx.ModelProto) -> None:
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    integers = _add(model, "bias_integers", np.zeros(10, np.int32))
    scale, zero = _add(model, "bias_scale", np.float32(1)), _add(model, "bias_zero", np.int32(0))
    gemm.input[2] = "bias"
    node = helper.make_node("DequantizeLinear", [integers, scale, zero], ["bias"], "dequantize_bias")
    model.graph.node.insert(0, node)


def share_one_scale(model: onnx.ModelProto) -> None:
    dequantize = next(node for node in model.graph.node if "first.0.0.weight" in node.input[0])
    for position, value in ((1, np.float32(0.01)), (2, np.int8(0))):
        dequantize.input[position] = _add(model, f"shared_{position}", value)


def transpose_before_the_cast(model: onnx.ModelProto) -> None:
    cast, transpose = (model.graph.node[index] for index in (0, 1))
    transposed = transpose.output[0]
    transpose.input[0], transpose.output[0] = "images", "turned"
    cast.input[0], cast.output[0] = "turned", transposed
    model.graph.node.insert(0, model.graph.node.pop(1))


FAULTS: list[tuple[Callable[[onnx.ModelProto], None], str]] = [
    (unsign_an_activation, "node 'QuantizeLinear_relu_0_1': expected int8, got uint8; make the file with to_signed"),
    (leave_out_a_zero_point, "node 'QuantizeLinear_relu_0_1': expected int8, got uint8"),
    (move_a_zero_point, r"node 'QuantizeLinear_relu_0_1': expected zero point 0, got \[3\]"),
    (quantize_a_bias, "node 'dequantize_bias': expected a float bias, got integers of 32 bits"),
    (share_one_scale, "weight '.*first.*': expected one scale per channel, got one for all"),
    (transpose_before_the_cast, "expected Cast to read the input, as TensorRT requires, got .'Transpose'."),
]


def test_a_signed_file_of_ours_is_clean(signed: Path, spec) -> None:
    lint_onnx(signed, spec=spec, rules=TENSORRT_INT8_RULES)


@pytest.mark.parametrize(("plant", "message"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_planted_fault_is_found(model: onnx.ModelProto, plant, message: str) -> None:
    plant(model)
    with pytest.raises(ExportError, match=message):
        lint_onnx(model, rules=TENSORRT_INT8_RULES)


def test_a_quantized_bias_is_found_once(model: onnx.ModelProto) -> None:
    quantize_a_bias(model)
    with pytest.raises(ExportError) as caught:
        lint_onnx(model, rules=TENSORRT_INT8_RULES)
    assert str(caught.value).count("dequantize_bias") == 1


def test_the_unsigned_file_of_other_runtimes_is_refused(exported) -> None:
    with pytest.raises(ExportError, match="expected int8, got uint8"):
        lint_onnx(exported.int8, rules=TENSORRT_INT8_RULES)


def test_a_float_file_does_not_pass_for_a_quantized_one(exported) -> None:
    with pytest.raises(ExportError, match="expected quantized convolutions or matrix products, got none"):
        lint_onnx(exported.fp32, rules=TENSORRT_INT8_RULES)
