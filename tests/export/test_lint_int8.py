from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.lint_int8 import FULL_RANGE_INT8_RULES, UNSIGNED_INT8_RULES
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.to_onnx import to_onnx


@pytest.fixture
def model(exported) -> onnx.ModelProto:
    return onnx.load(exported.int8)


def _replace(model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))


def _after(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if name in node.input)


def _weight_of(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    """The node that dequantizes the weight of the node of that name."""
    weighted = next(node for node in model.graph.node if node.name == name)
    return next(node for node in model.graph.node if weighted.input[1] in node.output)


def move_a_zero_point(model: onnx.ModelProto) -> None:
    _replace(model, _after(model, "relu_0").input[2], lambda _: np.uint8(3))


def sign_an_activation(model: onnx.ModelProto) -> None:
    _replace(model, _after(model, "relu_0").input[2], lambda zero: zero.astype(np.int8))


def sign_the_pooled_activation(model: onnx.ModelProto) -> None:
    _replace(model, _after(model, "reducemean_0").input[2], lambda zero: zero.astype(np.int8))


def unsign_a_weight(model: onnx.ModelProto) -> None:
    weight = _weight_of(model, "conv_1")
    for position in (0, 2):
        _replace(model, weight.input[position], lambda integers: np.abs(integers).astype(np.uint8))


def share_one_scale(model: onnx.ModelProto) -> None:
    weight = _weight_of(model, "conv_1")
    for position in (1, 2):
        _replace(model, weight.input[position], lambda values: values[0])


def use_the_full_range(model: onnx.ModelProto) -> None:
    _replace(model, _weight_of(model, "conv_1").input[0], lambda integers: np.full_like(integers, 127))


FAULTS: list[tuple[Callable[[onnx.ModelProto], None], str]] = [
    (move_a_zero_point, r"node 'QuantizeLinear_relu_0_1': expected zero point 0, got \[3\]"),
    (sign_an_activation, "node 'QuantizeLinear_relu_0_1': expected uint8 after a ReLU, got int8"),
    (sign_the_pooled_activation, "node 'QuantizeLinear_reducemean_0_1': expected uint8 after a ReLU, got int8"),
    (unsign_a_weight, "weight '.*first.*': expected int8, got uint8"),
    (share_one_scale, "weight '.*first.*': expected one scale per channel, got one for all"),
    (use_the_full_range, "weight '.*first.*': expected integers from -64 to 64, .* got 127 to 127"),
]


def test_a_quantized_file_of_ours_is_clean(exported, spec) -> None:
    lint_onnx(exported.int8, spec=spec, rules=UNSIGNED_INT8_RULES)


@pytest.mark.parametrize(("plant", "message"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_planted_fault_is_found(model: onnx.ModelProto, plant, message: str) -> None:
    plant(model)
    with pytest.raises(ExportError, match=message):
        lint_onnx(model, rules=UNSIGNED_INT8_RULES)


def test_a_float_file_does_not_pass_for_a_quantized_one(exported) -> None:
    with pytest.raises(ExportError, match="expected quantized convolutions or matrix products, got none"):
        lint_onnx(exported.fp32, rules=FULL_RANGE_INT8_RULES)


def test_the_full_range_is_a_matter_of_the_target(model: onnx.ModelProto) -> None:
    use_the_full_range(model)
    lint_onnx(model, rules=FULL_RANGE_INT8_RULES)


class Groups(nn.Module):
    """A dense and a depthwise convolution with ReLU, and one of some groups with hard-swish behind."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.dense = nn.Conv2d(1, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.last = nn.Conv2d(8, 8, 3, padding=1, groups=groups)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.depthwise(torch.relu(self.dense(x))))
        return self.head(nn.functional.hardswish(self.last(x)).mean((2, 3)))


Quantize = Callable[[int], Path]


@pytest.fixture(scope="module")
def quantized(spec, digits, tmp_path_factory: pytest.TempPathFactory) -> Quantize:
    """The INT8 file of `Groups` with so many groups."""

    @functools.cache
    def quantize(groups: int) -> Path:
        folder = tmp_path_factory.mktemp("groups")
        torch.manual_seed(0)
        fp32 = to_onnx(Groups(groups), spec, folder / "fp32.onnx")
        return quantize_int8(fp32, folder / "int8.onnx", digits.train_images[:20], bias_correction=False)

    return quantize


def test_depthwise_weights_alone_may_use_the_full_range(quantized: Quantize) -> None:
    model = onnx.load(quantized(1))
    tensors = {tensor.name: numpy_helper.to_array(tensor).astype(int) for tensor in model.graph.initializer}
    largest = [np.abs(tensors[_weight_of(model, f"conv_{index}").input[0]]).max() for index in range(3)]
    assert largest == [64, 127, 64]


def test_groups_of_several_channels_saturate_and_are_refused(quantized: Quantize) -> None:
    with pytest.raises(ExportError, match=r"weight '.*last.*': expected integers from -64 to 64, .* got -?\d+ to 127"):
        quantized(2)


def test_hard_swish_is_followed_by_signed_integers_with_zero_point_0(quantized: Quantize) -> None:
    model = onnx.load(quantized(1))
    name = _after(model, "hardswish_0").input[2]
    zero_point = next(numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == name)
    assert (zero_point.dtype, int(zero_point)) == (np.int8, 0)
