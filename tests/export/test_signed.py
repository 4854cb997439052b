from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.lint_tensorrt import TENSORRT_INT8_RULES
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.signed import to_signed
from hkd_edge_runtime.files import sha256_file

Tensors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def unsigned(exported, digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What TensorRT's file is made of: weights of the full range, which no GPU saturates."""
    out = tmp_path_factory.mktemp("unsigned") / "int8.onnx"
    images = digits.train_images[:100]
    return quantize_int8(exported.fp32, out, images, bias_correction=False, half_range_weights=False)


@pytest.fixture(scope="module")
def signed(unsigned: Path) -> Path:
    return to_signed(unsigned, unsigned.with_name("signed.onnx"))


def _run_exactly(path: Path, images: np.ndarray) -> np.ndarray:
    """The logits by floats between the quantizers; integer kernels of CPUs without VNNI deviate."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images})[0]


def _tensors(model: onnx.ModelProto) -> Tensors:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _quantizers(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scale and zero point of each QuantizeLinear, in their order."""
    model = onnx.load(path)
    tensors = _tensors(model)
    nodes = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return [(tensors[node.input[1]], tensors[node.input[2]]) for node in nodes]


@pytest.mark.parametrize("reference", ["fp32", "unsigned"])
def test_the_signed_file_agrees_with_the_file_it_was_made_of(
    exported, unsigned: Path, signed: Path, digits, reference: str
) -> None:
    expected = _run_exactly(exported.fp32 if reference == "fp32" else unsigned, digits.test_images)
    arrived = _run_exactly(signed, digits.test_images)
    assert (arrived.argmax(1) == expected.argmax(1)).mean() >= 0.99


def test_it_keeps_the_rules_of_tensorrt_and_of_its_spec(signed: Path, spec) -> None:
    lint_onnx(signed, spec=spec, rules=TENSORRT_INT8_RULES)


def test_an_unsigned_quantizer_keeps_its_range_and_a_signed_one_stays(unsigned: Path, signed: Path) -> None:
    pairs = list(zip(_quantizers(unsigned), _quantizers(signed), strict=True))
    was_unsigned = [zero_point.dtype == np.uint8 for (_, zero_point), _ in pairs]
    assert any(was_unsigned)
    assert not all(was_unsigned)
    for (old_scale, old_zero), (new_scale, new_zero) in pairs:
        largest = 255 if old_zero.dtype == np.uint8 else 127
        assert new_zero.dtype == np.int8
        np.testing.assert_allclose(new_scale * 127, old_scale * largest, rtol=1e-6)


def test_weights_and_biases_stay_and_no_tensor_is_left_over(unsigned: Path, signed: Path) -> None:
    old, new = _tensors(onnx.load(unsigned)), _tensors(onnx.load(signed))
    kept = {name for name in old if name.endswith("bias") or name.startswith("q_output")}
    assert all(np.array_equal(old[name], new[name]) for name in kept)
    used = {name for node in onnx.load(signed).graph.node for name in node.input}
    assert set(new) <= used


def test_the_same_file_gives_the_same_bytes(unsigned: Path, signed: Path, tmp_path: Path) -> None:
    assert sha256_file(to_signed(unsigned, tmp_path / "again.onnx")) == sha256_file(signed)


def test_biases_of_integers_become_floats_again(unsigned: Path, signed: Path, digits, tmp_path: Path) -> None:
    model = onnx.load(unsigned)
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    bias, scale = _tensors(model)[gemm.input[2]], np.float32(1e-4)
    integers = np.round(bias / scale).astype(np.int32)
    new = {"bias_integers": integers, "bias_scale": scale, "bias_zero": np.int32(0)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in new.items())
    gemm.input[2] = "bias"
    position = list(model.graph.node).index(gemm)
    model.graph.node.insert(position, helper.make_node("DequantizeLinear", list(new), ["bias"], "dequantize_bias"))
    onnx.save(model, tmp_path / "integer_bias.onnx")

    folded = to_signed(tmp_path / "integer_bias.onnx", tmp_path / "signed.onnx")

    assert "dequantize_bias" not in {node.name for node in onnx.load(folded).graph.node}
    np.testing.assert_allclose(_tensors(onnx.load(folded))["bias"], integers * scale, rtol=1e-6)
    arrived, expected = (_run_exactly(path, digits.test_images[:50]) for path in (folded, signed))
    np.testing.assert_allclose(arrived, expected, atol=1e-3)


def take_the_float_file(folder: Path, exported) -> Path:
    return exported.fp32


def take_a_signed_file(folder: Path, exported) -> Path:
    return to_signed(exported.int8, folder / "signed.onnx")


def move_a_zero_point(folder: Path, exported) -> Path:
    model = onnx.load(exported.int8)
    zero = next(tensor for tensor in model.graph.initializer if tensor.name == "zero_point_relu_0_1")
    zero.CopyFrom(numpy_helper.from_array(np.asarray(np.uint8(3)), zero.name))
    onnx.save(model, folder / "moved.onnx")
    return folder / "moved.onnx"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (take_the_float_file, "expected quantized convolutions or matrix products, got none"),
        (take_a_signed_file, "expected uint8 after a ReLU, got int8"),
        (move_a_zero_point, r"expected zero point 0, got \[3\]"),
    ],
)
def test_another_file_is_refused_and_the_existing_one_survives(
    tmp_path: Path, exported, make: Callable[..., Path], message: str
) -> None:
    source, out = make(tmp_path, exported), tmp_path / "out.onnx"
    out.write_bytes(b"the last good file")
    with pytest.raises(ExportError, match=message):
        to_signed(source, out)
    assert out.read_bytes() == b"the last good file"
