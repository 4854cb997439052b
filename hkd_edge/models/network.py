"""What every network offers: a backbone that answers embeddings, and one linear head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class Answering(Protocol):
    """What is asked of a teacher, whoever made it."""

    embedding_size: int

    def answer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and embeddings (N, embedding_size) of images (N, C, H, W) as the recipe normalises them."""

    def eval(self) -> object:
        """Goes into evaluation mode."""


class GlobalAveragePool(nn.Module):
    """The mean of each feature map."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, H, W) -> (N, D)."""
        # A mean over fixed axes, not flatten: a flatten of dynamic batch can export Shape and Gather nodes, which
        # OpenVINO was seen to answer wrongly from after quantization.
        return x.mean((2, 3))


class Network(nn.Module):
    """A backbone, which maps images (N, C, H, W) to embeddings (N, D), and one linear head.

    A concept teacher's head holds the logits of all its axes side by side: one linear layer per axis and one layer
    whose columns are sliced by axis are the same function.
    """

    def __init__(self, backbone: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.embedding_size = head.in_features

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings (N, embedding_size) of normalised images (N, C, H, W)."""
        embedding: Tensor = self.backbone(x)
        return embedding

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, outputs) of normalised images (N, C, H, W)."""
        logits: Tensor = self.head(self.embed(x))
        return logits

    def answer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, outputs) and embeddings (N, embedding_size) of normalised images (N, C, H, W)."""
        embedding = self.embed(x)
        logits: Tensor = self.head(embedding)
        return logits, embedding


class Ensemble(nn.Module):
    """Networks of the same outputs that answer together: the mean of their logits, their embeddings side by side.

    The softmax of mean logits is the normalised geometric mean of the members' own, at any temperature and on every
    axis.
    """

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.embedding_size = sum(member.embedding_size for member in members)

    def answer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, outputs) and embeddings (N, embedding_size) of normalised images (N, C, H, W)."""
        logits, embeddings = zip(*(member.answer(x) for member in self.members), strict=True)  # type: ignore[operator]
        return torch.stack(logits).mean(0), torch.cat(embeddings, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """The logits of `answer`."""
        return self.answer(x)[0]


def count_parameters(module: nn.Module) -> int:
    """How many trainable numbers `module` holds."""
    return sum(parameter.numel() for parameter in module.parameters())
