"""Rules for quantized ONNX files, per target: which integers each runtime computes fast and right with.

ONNX Runtime and OpenVINO fuse a ReLU into unsigned activations with zero point 0; other targets want other
integers (TensorRT: signed). A target is a tuple of rules: `lint_onnx(path, rules=UNSIGNED_INT8_RULES)`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import FLOAT_RULES, Contract, Rule, lint_onnx

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
# What is not negative stays so through these.
KEEPS_SIGN = QUANTIZERS | {"MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Reshape", "Flatten"}
# 2 * 255 * 64 = 32,640 fits into int16. See `quantize.quantize_int8` for what happens beyond.
SAFE_WEIGHT = 64

Array = npt.NDArray[np.generic]


def is_quantized(model: onnx.ModelProto, contract: Contract) -> list[str]:
    weights = _quantized_weights(model)
    return [] if weights else ["expected quantized convolutions or matrix products, got none"]


def zero_points_are_zero(model: onnx.ModelProto, contract: Contract) -> list[str]:
    return [
        f"node {node.name!r}: expected zero point 0, got {zero_point.ravel()[:4].tolist()}"
        for node, zero_point in zero_points(model)
        if np.any(zero_point)
    ]


def activations_after_relu_are_unsigned(model: onnx.ModelProto, contract: Contract) -> list[str]:
    producers = {name: node for node in model.graph.node for name in node.output}
    return [
        f"node {node.name!r}: expected uint8 after a ReLU, got {zero_point.dtype}"
        for node, zero_point in zero_points(model)
        if node.op_type == "QuantizeLinear"
        and zero_point.dtype != np.uint8
        and _comes_from_relu(node.input[0], producers)
    ]


def weights_are_signed_per_channel(model: onnx.ModelProto, contract: Contract) -> list[str]:
    tensors = tensors_by_name(model)
    findings = []
    for name, (integers, dequantize) in _quantized_weights(model).items():
        if integers.dtype != np.int8:
            findings.append(f"weight {name!r}: expected int8, got {integers.dtype}")
        if tensors[dequantize.input[1]].ndim == 0:
            findings.append(f"weight {name!r}: expected one scale per channel, got one for all")
    return findings


def weights_cannot_saturate(model: onnx.ModelProto, contract: Contract) -> list[str]:
    # Depthwise kernels add no products of neighbouring channels in int16: with weights of 127 and pixels of 200 to
    # 255 both runtimes were exact on AVX2, 3x3 and 5x5, stride 1 and 2; other convolutions were 60 to 100 steps off.
    depthwise = _depthwise_weights(model)
    return [
        f"weight {name!r}: expected integers from -{SAFE_WEIGHT} to {SAFE_WEIGHT}, which no CPU saturates, "
        f"got {integers.min()} to {integers.max()}"
        for name, (integers, _) in _quantized_weights(model).items()
        if name not in depthwise and np.abs(integers.astype(np.int16)).max() > SAFE_WEIGHT
    ]


# Of any weights; `weights_cannot_saturate` comes on top for files that may meet a CPU without VNNI.
FULL_RANGE_INT8_RULES: tuple[Rule, ...] = (
    *FLOAT_RULES,
    is_quantized,
    zero_points_are_zero,
    activations_after_relu_are_unsigned,
    weights_are_signed_per_channel,
)
UNSIGNED_INT8_RULES: tuple[Rule, ...] = (*FULL_RANGE_INT8_RULES, weights_cannot_saturate)


def has_quantizers(model: onnx.ModelProto) -> bool:
    """Whether any node of the model quantizes or dequantizes."""
    return any(node.op_type in QUANTIZERS for node in model.graph.node)


def lint_fp32(path: Path) -> onnx.ModelProto:
    """The model of a file that others are made from.

    Raises:
        ExportError: for a file that breaks the contract or is quantized.
    """
    model = lint_onnx(path)
    if has_quantizers(model):
        raise ExportError(f"{path.name}: expected an fp32 file, got a quantized one. Give the file it was made of.")
    return model


def tensors_by_name(model: onnx.ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def zero_points(model: onnx.ModelProto) -> list[tuple[onnx.NodeProto, Array]]:
    """Each (de)quantizing node with its zero point; one that has none means uint8 0."""
    tensors = tensors_by_name(model)
    default: Array = np.zeros((), np.uint8)
    return [
        (node, tensors.get(node.input[2], default) if len(node.input) > 2 else default)
        for node in model.graph.node
        if node.op_type in QUANTIZERS
    ]


def _quantized_weights(model: onnx.ModelProto) -> dict[str, tuple[Array, onnx.NodeProto]]:
    """The integers of each quantized weight and the node that dequantizes them, by the weight's name."""
    tensors = tensors_by_name(model)
    producers = {name: node for node in model.graph.node for name in node.output}
    sources = [producers.get(node.input[1]) for node in model.graph.node if node.op_type in WEIGHTED]
    return {
        node.input[0]: (tensors[node.input[0]], node)
        for node in sources
        if node is not None and node.op_type == "DequantizeLinear" and node.input[0] in tensors
    }


def _depthwise_weights(model: onnx.ModelProto) -> set[str]:
    """The names of the quantized weights of convolutions of each channel by itself."""
    weights = _quantized_weights(model)
    names = {dequantize.output[0]: name for name, (_, dequantize) in weights.items()}
    groups = {
        names[node.input[1]]: attribute.i
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in names
        for attribute in node.attribute
        if attribute.name == "group"
    }
    return {name for name, group in groups.items() if group > 1 and weights[name][0].shape[:2] == (group, 1)}


def _comes_from_relu(name: str, producers: dict[str, onnx.NodeProto]) -> bool:
    node = producers.get(name)
    while node is not None and node.op_type in KEEPS_SIGN:
        node = producers.get(node.input[0])
    return node is not None and node.op_type == "Relu"
