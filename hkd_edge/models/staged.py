"""ReLU networks of a stem and stages: what quantizes well and runs fast on every target.

Each stage halves height and width and then has its blocks; global average pooling and a linear head follow.

`residual`: blocks after K. He et al., arXiv 1512.03385, with two departures: a change of width or resolution is a
strided convolution of its own between the blocks (no 1x1 shortcut), and the stem is 3x3 for small images.
`plain`: the same without shortcuts.
`mobile`: inverted residual blocks after M. Sandler et al., arXiv 1801.04381, with two departures: ReLU for ReLU6, and a
ReLU at a block's end where theirs is linear, so that every activation is unsigned, which INT8 kernels fuse.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hkd_edge.models.network import GlobalAveragePool, Network
from hkd_edge.recipe.architecture import Architecture

Layer = Callable[[int, int, int], nn.Module]  # input channels, output channels, stride


class ConvBN(nn.Sequential):
    """Convolution without bias and batch normalisation, with a ReLU behind unless `relu` is false."""

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, *, size: int = 3, groups: int = 1, relu: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class ResidualBlock(nn.Module):
    """relu(x + f(x)) with f two convolutions of the same width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(ConvBN(width, width), ConvBN(width, width, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        return torch.relu(x + self.inner(x))


class PlainBlock(nn.Sequential):
    """Two convolutions of the same width, without a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__(ConvBN(width, width), ConvBN(width, width))


class MobileBlock(nn.Module):
    """relu(x + f(x)), or relu(f(x)) where the shape changes; f widens by 1x1, filters each channel, and narrows by 1x1.

    With `expansion` 1 nothing is widened: a depthwise-separable convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = inputs * expansion
        widen = [ConvBN(inputs, inside, size=1)] if expansion > 1 else []
        self.inner = nn.Sequential(
            *widen, ConvBN(inside, inside, stride, groups=inside), ConvBN(inside, outputs, size=1, relu=False)
        )
        self.keeps_shape = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride), rounded up."""
        inner = self.inner(x)
        return torch.relu(x + inner if self.keeps_shape else inner)


def residual(architecture: Architecture, channels: int, outputs: int) -> Network:
    """A residual network."""
    return _staged(architecture, channels, outputs, ConvBN, lambda width: ResidualBlock(width))


def plain(architecture: Architecture, channels: int, outputs: int) -> Network:
    """A network without shortcuts."""
    return _staged(architecture, channels, outputs, ConvBN, lambda width: PlainBlock(width))


def mobile(architecture: Architecture, channels: int, outputs: int) -> Network:
    """A network of depthwise and 1x1 convolutions: few multiplications, for 96 to 224 pixels."""
    expansion = architecture.expansion or 1

    def shrink(inputs: int, outputs: int, stride: int) -> nn.Module:
        return MobileBlock(inputs, outputs, stride, expansion)

    return _staged(architecture, channels, outputs, shrink, lambda width: shrink(width, width, 1))


def _staged(
    architecture: Architecture, channels: int, outputs: int, shrink: Layer, block: Callable[[int], nn.Module]
) -> Network:
    width, stride = architecture.stem_width, architecture.stem_stride
    widths, blocks = architecture.widths, architecture.blocks
    if width is None or stride is None or widths is None or blocks is None:
        raise ValueError("architecture: expected stem_width, stem_stride, widths and blocks, got none of some.")
    layers: list[nn.Module] = [ConvBN(channels, width, stride)]
    for next_width, block_count in zip(widths, blocks, strict=True):
        layers.append(shrink(width, next_width, 2))
        layers.extend(block(next_width) for _ in range(block_count))
        width = next_width
    return Network(nn.Sequential(*layers, GlobalAveragePool()), nn.Linear(width, outputs))
