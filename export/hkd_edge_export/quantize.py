"""Quantizes an exported ONNX file to INT8 by NNCF, for ONNX Runtime and OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx

from hkd_edge_export.canonical import save, strip
from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.lint_int8 import FULL_RANGE_INT8_RULES, UNSIGNED_INT8_RULES, WEIGHTED
from hkd_edge_export.quiet import quiet
from hkd_edge_runtime.backends.base import INPUT, LOGITS

if TYPE_CHECKING:
    import nncf

# How the range of an activation is read off the calibration images: its extremes over all of them; the mean or
# the median of each image's extremes; the mean of each image's 0.01 % and 99.99 % quantiles; the range whose
# rounding and clipping errors are smallest on a histogram. All but the first clip outliers.
Ranges = Literal["minmax", "mean_minmax", "median_minmax", "mean_quantile", "histogram"]
RANGES: tuple[Ranges, ...] = get_args(Ranges)
_STEM_CHANNELS = 4


def quantize_int8(
    fp32: Path,
    out: Path,
    calibration: npt.NDArray[np.uint8],
    *,
    bias_correction: bool,
    ranges: Ranges = "minmax",
    half_range_weights: bool = True,
    float_stem: bool = False,
) -> Path:
    """Writes the INT8 file and returns its path: unsigned activations after ReLU, signed weights per channel.

    `calibration` holds about 300 images (N, H, W, C) of the training set. Bias correction and clipped `ranges`
    help some networks and harm others: write the files and keep the one that is best on validation images.
    `half_range_weights` keeps the file right on every CPU; turn it off only for boards with VNNI or ARM.
    `float_stem` leaves the first convolution in float if it reads the pixels' few channels: ONNX Runtime is faster so.

    Raises:
        ExportError: for calibration images that do not fit, an `fp32` file that breaks the contract, or a
            quantized file that does. An existing `out` then stays as it was.
        ValueError: for `ranges` that there are none of.
    """
    model = lint_onnx(fp32)
    arguments = nncf_arguments(model, calibration, float_stem)
    advanced = advanced_parameters(bias_correction, ranges, half_range_weights)
    import nncf

    with quiet():
        quantized = nncf.quantize(model, **arguments, advanced_parameters=advanced)
    return save_int8(quantized, out, half_range_weights)


def nncf_arguments(model: onnx.ModelProto, calibration: npt.NDArray[np.uint8], float_stem: bool) -> dict[str, Any]:
    """What every way of quantizing by NNCF takes: images, symmetric numbers, the nodes to leave in float.

    Raises:
        ExportError: for calibration images that do not fit the model.
    """
    _check_calibration(calibration, model)
    import nncf

    in_float = nodes_around_the_network(model.graph) + (_stem(model.graph) if float_stem else [])
    return {
        "calibration_dataset": nncf.Dataset([{INPUT: image[np.newaxis]} for image in calibration]),
        "preset": nncf.QuantizationPreset.PERFORMANCE,
        "subset_size": len(calibration),
        "ignored_scope": nncf.IgnoredScope(names=in_float),
    }


def advanced_parameters(
    bias_correction: bool, ranges: Ranges, half_range_weights: bool
) -> nncf.AdvancedQuantizationParameters:
    """The numbers that ONNX Runtime and OpenVINO are fast and right with; see `quantize_int8`."""
    if ranges not in RANGES:
        raise ValueError(f"ranges: expected one of {', '.join(RANGES)}, got {ranges!r}.")
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return nncf.AdvancedQuantizationParameters(
        # CPUs without VNNI add two products in int16, which saturates beyond weights of 64, half the range.
        # A residual net of 56 k parameters on AVX2 (AMD Zen 3), 10,000 test images, 86.31 % in fp32:
        #   weights                   ONNX Runtime: top-1, agreement   OpenVINO: top-1, agreement
        #   full range                79.97, 87.40 %                   86.27, 99.56 %
        #   half in the first layer   86.40, 99.04 %                   86.40, 98.93 %
        #   half everywhere           86.41, 99.12 %                   86.38, 99.10 %
        # all at the same speed. Only "everywhere" excludes saturation for every network.
        overflow_fix=nncf.OverflowFix.ENABLE if half_range_weights else nncf.OverflowFix.DISABLE,
        # Per channel, the inputs of depthwise convolutions are 3.6 times slower on ONNX Runtime.
        activations_quantization_params=QuantizationParameters(per_channel=False),
        activations_range_estimator_params=getattr(RangeEstimatorParametersSet, ranges.upper()),
        disable_bias_correction=not bias_correction,
    )


def save_int8(quantized: onnx.ModelProto, out: Path, half_range_weights: bool) -> Path:
    """Writes a quantized model in its one form if it keeps the rules of its target; returns `out`."""
    strip(quantized)
    lint_onnx(quantized, rules=UNSIGNED_INT8_RULES if half_range_weights else FULL_RANGE_INT8_RULES)
    return save(quantized, out)


def nodes_around_the_network(graph: onnx.GraphProto) -> list[str]:
    """The names of the nodes before the first weighted one and after the logits, which stay in float.

    Integers have nothing to win there: the preprocessing is cheap, and probabilities of 8 bits would tie.
    """
    before = {INPUT, "", *(tensor.name for tensor in graph.initializer)}
    after = {LOGITS}
    names = []
    for node in graph.node:
        if after.intersection(node.input):
            after.update(node.output)
            names.append(node.name)
        elif node.op_type not in WEIGHTED and before.issuperset(node.input):
            before.update(node.output)
            names.append(node.name)
    return names


def _stem(graph: onnx.GraphProto) -> list[str]:
    """The name of the first weighted node if it is a convolution of at most 4 channels, in a list, or an empty list.

    ONNX Runtime's integer kernels have too few products to add there. Fashion-MNIST's student (1 to 16 channels, 28 x
    28, one thread, AVX2): 64 images take that layer 2.33 ms in int8 and 0.44 ms in float; with it in float the whole
    network takes 8.6 ms instead of 9.8, and one image 0.28 ms instead of 0.32. OpenVINO is faster with all layers in
    int8 (6.1 instead of 7.3 ms).
    """
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    first = next(node for node in graph.node if node.op_type in WEIGHTED)
    is_stem = first.op_type == "Conv" and shapes.get(first.input[1], (0, _STEM_CHANNELS + 1))[1] <= _STEM_CHANNELS
    return [first.name] if is_stem else []


def _check_calibration(images: npt.NDArray[np.uint8], model: onnx.ModelProto) -> None:
    dimensions = next(value for value in model.graph.input if value.name == INPUT).type.tensor_type.shape.dim
    expected = tuple(one.dim_value for one in dimensions[1:])
    if images.dtype != np.uint8 or images.shape[1:] != expected or len(images) == 0:
        raise ExportError(
            f"calibration: expected at least one uint8 image of shape {expected}, "
            f"got {images.dtype} of shape {images.shape}. Give about 300 images of the training set."
        )
