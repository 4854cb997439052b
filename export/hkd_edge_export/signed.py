"""Rewrites an INT8 file for TensorRT: signed activations in the place of unsigned ones, from one calibration.

TensorRT has no unsigned integers between its layers. It takes an unsigned file with a warning only and keeps its
scales, so integers above 127, the upper half of each range, are cut off.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from hkd_edge_export.canonical import save, strip
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.lint_int8 import FULL_RANGE_INT8_RULES, zero_points
from hkd_edge_export.lint_tensorrt import TENSORRT_INT8_RULES, integer_biases

# The largest activation stays what it is: 255 * scale = 127 * (scale * 255 / 127).
SIGNED_SCALE = 255 / 127
SIGNED_ZERO = "signed_zero_point"


def to_signed(int8_onnx: Path, out: Path) -> Path:
    """Writes the INT8 file for TensorRT and returns its path; `int8_onnx` comes from `quantize_int8`.

    Activations of uint8 become int8 of the same range, so in steps twice as wide. Weights stay as they are: give
    a file of `quantize_int8(..., half_range_weights=False)`, because no GPU saturates, and the full range halves
    their rounding error. Biases that another tool quantized become floats.

    ONNX Runtime computes the file exactly with its optimisations off (`ORT_DISABLE_ALL`), by floats between the
    quantizers; the integer kernels of CPUs without VNNI deviate on full-range weights.

    Raises:
        ExportError: for a file that breaks the contract of unsigned files, or the rules of TensorRT. An existing
            `out` then stays as it was.
    """
    model = lint_onnx(int8_onnx, rules=FULL_RANGE_INT8_RULES)
    _fold_integer_biases(model)
    _sign_activations(model)
    _drop_unused_tensors(model)
    strip(model)
    lint_onnx(model, rules=TENSORRT_INT8_RULES)
    return save(model, out)


def _sign_activations(model: onnx.ModelProto) -> None:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    unsigned = [node for node, zero_point in zero_points(model) if zero_point.dtype == np.uint8]
    for name in sorted({node.input[1] for node in unsigned}):
        scale = numpy_helper.to_array(tensors[name])
        _add(model, _signed(name), (scale.astype(np.float64) * SIGNED_SCALE).astype(scale.dtype))
    if unsigned:
        _add(model, SIGNED_ZERO, np.zeros((), np.int8))
    for node in unsigned:
        node.input[:] = [node.input[0], _signed(node.input[1]), SIGNED_ZERO]


def _fold_integer_biases(model: onnx.ModelProto) -> None:
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in integer_biases(model):
        integers, scale = (tensors[name] for name in node.input[:2])
        # Its zero point is 0: the rules of the unsigned file see to that.
        _add(model, node.output[0], (integers * scale.astype(np.float64)).astype(scale.dtype))
        model.graph.node.remove(node)


def _drop_unused_tensors(model: onnx.ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _add(model: onnx.ModelProto, name: str, array: npt.NDArray[np.generic]) -> None:
    model.graph.initializer.append(numpy_helper.from_array(array, name))


def _signed(name: str) -> str:
    return f"{name}_signed"
