"""Plain and residual 3x3 ReLU networks: what quantizes well and runs fast on every target.

Residual blocks after K. He et al., arXiv 1512.03385, with two departures: a change of width or resolution is a
strided convolution of its own between the blocks (no 1x1 shortcut), and the stem is 3x3 for small images.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hkd_edge.recipe.schema import Architecture


class ConvBN(nn.Sequential):
    """3x3 convolution without bias and batch normalisation, with a ReLU behind unless `relu` is false."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, relu: bool = True) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
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


_BLOCKS: dict[str, type[nn.Module]] = {"residual": ResidualBlock, "plain": PlainBlock}


class Network(nn.Module):
    """A backbone that ends in global average pooling (the embedding) and one linear head.

    A concept teacher's head holds the logits of all its axes side by side: one linear layer per axis and one layer
    whose columns are sliced by axis are the same function.
    """

    def __init__(self, architecture: Architecture, channels: int, outputs: int) -> None:
        super().__init__()
        block = _BLOCKS[architecture.kind]
        layers: list[nn.Module] = [ConvBN(channels, architecture.stem_width, architecture.stem_stride)]
        width = architecture.stem_width
        for next_width, block_count in zip(architecture.widths, architecture.blocks, strict=True):
            layers.append(ConvBN(width, next_width, stride=2))
            layers.extend(block(next_width) for _ in range(block_count))
            width = next_width
        self.backbone = nn.Sequential(*layers)
        self.head = nn.Linear(width, outputs)
        self.embedding_size = width

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings (N, embedding_size) of normalised images (N, C, H, W)."""
        # A mean over fixed axes, not flatten: a flatten of dynamic batch exports Shape and Gather nodes, which
        # OpenVINO was seen to answer wrongly from after quantization.
        features: Tensor = self.backbone(x)
        return features.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, outputs) of normalised images (N, C, H, W)."""
        logits: Tensor = self.head(self.embed(x))
        return logits


def count_parameters(module: nn.Module) -> int:
    """How many trainable numbers `module` holds."""
    return sum(parameter.numel() for parameter in module.parameters())
