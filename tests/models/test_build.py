from __future__ import annotations

import copy
import subprocess
import sys
from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from hkd_edge.models.build import KINDS, build
from hkd_edge.models.network import Network
from hkd_edge.models.staged import MobileBlock
from hkd_edge.recipe.architecture import Architecture

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
SMALL = {"stem_width": 8, "widths": (16, 24), "blocks": (1, 0)}


def small(kind: str, **more: object) -> Architecture:
    return Architecture.model_validate({"kind": kind, **SMALL, **more})


def seeded(architecture: Architecture, channels: int = 3) -> Network:
    torch.manual_seed(0)
    return build(architecture, channels, 10).eval()


def test_there_is_a_network_for_every_kind() -> None:
    assert tuple(KINDS) == get_args(Architecture.model_fields["kind"].annotation)


@pytest.mark.parametrize("kind", ["residual", "plain", "mobile"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_head_answers_the_embedding(kind: str, channels: int) -> None:
    network, images = seeded(small(kind), channels), torch.randn(2, channels, 28, 28)
    embedding = network.embed(images)
    assert embedding.shape == (2, network.embedding_size) == (2, 24)
    torch.testing.assert_close(network(images), network.head(embedding))
    assert network(images).shape == (2, 10)


@pytest.mark.parametrize(
    ("kind", "block"), [("residual", ("2.inner.0", "2.inner.1")), ("plain", ("2.0", "2.1"))], ids=["residual", "plain"]
)
def test_the_keys_of_saved_weights_stay_as_they_are(kind: str, block: tuple[str, str]) -> None:
    convolutions = ("0", "1", *block, "3")
    expected = [
        f"backbone.{name}.{key}" for name in convolutions for key in ("0.weight", *(f"1.{key}" for key in BATCH_NORM))
    ]
    assert list(seeded(small(kind)).state_dict()) == [*expected, "head.weight", "head.bias"]


def test_the_same_seed_gives_the_same_weights() -> None:
    one, other = (seeded(small("mobile")).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("stem_stride", "expected"), [(1, 4), (2, 2)])
def test_the_stem_and_every_stage_halve(stem_stride: int, expected: int) -> None:
    network = seeded(small("mobile", stem_stride=stem_stride))
    features = network.backbone[:-1](torch.randn(1, 3, 16, 16))  # type: ignore[index]
    assert features.shape == (1, 24, expected, expected)


@pytest.mark.parametrize("size", [15, 28, 33])
def test_odd_sizes_are_taken(size: int) -> None:
    assert seeded(small("mobile"))(torch.randn(1, 3, size, size)).shape == (1, 10)


def test_a_mobile_block_adds_its_input_only_where_the_shape_stays() -> None:
    for stride, outputs, adds in ((1, 8, True), (1, 12, False), (2, 8, False)):
        block, x = MobileBlock(8, outputs, stride, expansion=2).eval(), torch.randn(1, 8, 6, 6)
        inner = block.inner(x)
        torch.testing.assert_close(block(x), torch.relu(x + inner) if adds else torch.relu(inner))


def test_every_activation_of_a_mobile_network_is_not_negative() -> None:
    network, smallest = seeded(small("mobile")), []
    for layer in network.backbone[:-1]:  # type: ignore[index]
        layer.register_forward_hook(lambda _, __, output: smallest.append(float(output.detach().min())))
    network(torch.randn(2, 3, 16, 16))
    assert min(smallest) >= 0


def test_expansion_1_is_a_depthwise_separable_convolution() -> None:
    block = MobileBlock(8, 12, 1, expansion=1)
    assert [tuple(weight.shape) for weight in block.parameters() if weight.ndim == 4] == [(8, 1, 3, 3), (12, 8, 1, 1)]


def test_a_network_can_be_copied_and_trained() -> None:
    network = copy.deepcopy(seeded(small("mobile"))).train()
    network(torch.randn(4, 3, 16, 16)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_an_architecture_that_is_not_whole_cannot_be_made() -> None:
    with pytest.raises(ValidationError, match=r"architecture\.widths: expected a value, which kind mobile needs"):
        Architecture(kind="mobile", stem_width=8, blocks=(1,))
    unchecked = Architecture.model_construct(kind="plain", stem_width=8)
    with pytest.raises(ValueError, match="expected stem_width, stem_stride, widths and blocks"):
        build(unchecked, 1, 10)


def test_torchvision_is_loaded_only_for_its_networks() -> None:
    script = """
import sys
from hkd_edge.models.build import build
from hkd_edge.recipe.architecture import Architecture
build(Architecture(stem_width=8, widths=(8,), blocks=(0,)), 1, 10)
print("torchvision" in sys.modules)
"""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r}\n{script}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
