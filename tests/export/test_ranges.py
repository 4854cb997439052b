from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hkd_edge_export.quantize import RANGES, Ranges, quantize_int8


def activation_steps(file: Path) -> np.ndarray:
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
    quantizers = [node for node in onnx.load(file).graph.node if node.op_type == "QuantizeLinear"]
    return np.array([tensors[node.input[1]] for node in quantizers])


@pytest.mark.parametrize("ranges", [ranges for ranges in RANGES if ranges != "minmax"])
def test_outliers_are_clipped_and_steps_become_no_larger(tmp_path: Path, exported, digits, ranges: Ranges) -> None:
    images = digits.train_images[:100]
    plain, clipped = (
        activation_steps(
            quantize_int8(exported.fp32, tmp_path / f"{each}.onnx", images, bias_correction=False, ranges=each)
        )
        for each in ("minmax", ranges)
    )
    assert (clipped <= plain * 1.001).all()
    assert clipped.sum() < plain.sum()


def test_other_ranges_are_refused_with_the_choices(tmp_path: Path, exported, digits) -> None:
    with pytest.raises(
        ValueError,
        match=r"ranges: expected one of minmax, mean_minmax, median_minmax, mean_quantile, histogram, got 'entropy'\.",
    ):
        quantize_int8(
            exported.fp32,
            tmp_path / "int8.onnx",
            digits.train_images[:5],
            bias_correction=False,
            ranges="entropy",  # type: ignore[arg-type]
        )
