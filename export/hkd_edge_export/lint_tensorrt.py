"""Rules for INT8 files that TensorRT is to read: signed integers with zero point 0, and floats for the rest.

    lint_onnx(path, rules=TENSORRT_INT8_RULES)

That the Cast comes before the Transpose, which TensorRT needs too, every file keeps (`lint.takes_uint8_images`).
"""

from __future__ import annotations

import numpy as np
import onnx

from hkd_edge_export.lint import FLOAT_RULES, Contract, Rule
from hkd_edge_export.lint_int8 import (
    is_quantized,
    tensors_by_name,
    weights_are_signed_per_channel,
    zero_points,
    zero_points_are_zero,
)


def quantizers_are_signed(model: onnx.ModelProto, contract: Contract) -> list[str]:
    biases = {node.output[0] for node in integer_biases(model)}
    return [
        f"node {node.name!r}: expected int8, got {zero_point.dtype}; make the file with to_signed"
        for node, zero_point in zero_points(model)
        if zero_point.dtype != np.int8 and node.output[0] not in biases
    ]


def biases_are_floats(model: onnx.ModelProto, contract: Contract) -> list[str]:
    return [
        f"node {node.name!r}: expected a float bias, got integers of 32 bits; make the file with to_signed"
        for node in integer_biases(model)
    ]


TENSORRT_INT8_RULES: tuple[Rule, ...] = (
    *FLOAT_RULES,
    is_quantized,
    zero_points_are_zero,
    quantizers_are_signed,
    biases_are_floats,
    weights_are_signed_per_channel,
)


def integer_biases(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that dequantize a constant of int32, as some quantizers write biases; TensorRT refuses them."""
    tensors = tensors_by_name(model)
    return [
        node
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors and tensors[node.input[0]].dtype == np.int32
    ]
