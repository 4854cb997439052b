"""Teachers that take the recipe's images and answer its concepts, whatever the network inside was made for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from hkd_edge.errors import TrainingError
from hkd_edge.models.network import Ensemble, Network
from hkd_edge.recipe.foreign import Foreign
from hkd_edge.teachers.images import FitImages
from hkd_edge.teachers.mapping import Groups, MappedClasses, load_class_names, load_mapping


class Trunk(Protocol):
    """A foreign network as it is: images as it takes them -> scores (N, own classes) or None, embeddings (N, E)."""

    parameter_count: int

    def __call__(self, x: Tensor) -> tuple[Tensor | None, Tensor]: ...


class ForeignTeacher(nn.Module):
    """A foreign network behind the recipe's images, with a head or a mapping that makes concepts of its answers.

    Attributes:
        head: linear head on the embedding; None if concepts come from `mapped`, or not at all.
        silent_axes: the places of the axes of which it says nothing; their columns are 0.
    """

    def __init__(self, fit: FitImages, trunk: Trunk, batch_size: int, embedding_size: int) -> None:
        super().__init__()
        self.fit = fit
        self.trunk = trunk
        self.embedding_size = embedding_size
        self.head: nn.Linear | None = None
        self.mapped: MappedClasses | None = None
        self.silent_axes: tuple[int, ...] = ()
        self._batch_size = batch_size

    @property
    def has_concepts(self) -> bool:
        """Whether it answers more than an embedding."""
        return self.head is not None or self.mapped is not None

    def answer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K), K = 0 without head and mapping, and embeddings (N, E) of the recipe's images (N, C, H, W).

        Raises:
            TrainingError: if an answer is not finite.
        """
        parts = [self._answer(part) for part in torch.split(x, self._batch_size)]
        logits, embeddings = (torch.cat(each) for each in zip(*parts, strict=True))
        return logits, embeddings

    def forward(self, x: Tensor) -> Tensor:
        """The logits of `answer`."""
        return self.answer(x)[0]

    def _answer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, embedding = self.trunk(self.fit(x))
        logits = embedding.new_zeros(len(embedding), 0)
        if self.head is not None:
            logits = self.head(embedding)
        elif self.mapped is not None and scores is not None:
            logits = self.mapped(scores.float())
        if not (torch.isfinite(embedding).all() and torch.isfinite(logits).all()):
            raise TrainingError(
                "teacher.foreign: expected finite answers, got NaN or infinity. Do its mean, std and scores "
                "(logits or probabilities) fit the network? On the GPU, try precision: fp32."
            )
        return logits, embedding


class AdaptedTeacher(nn.Module):
    """A network of another run behind this recipe's images; of its logits, those at `columns`, in that order."""

    def __init__(self, fit: FitImages, network: Network | Ensemble, columns: Sequence[int]) -> None:
        super().__init__()
        self.fit = fit
        self.network = network
        self.embedding_size = network.embedding_size
        self._columns = list(columns)

    def answer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and embeddings (N, E) of the recipe's images (N, C, H, W)."""
        logits, embedding = self.network.answer(self.fit(x))
        return logits[:, self._columns], embedding

    def forward(self, x: Tensor) -> Tensor:
        """The logits of `answer`."""
        return self.answer(x)[0]


def foreign_teacher(foreign: Foreign, fit: FitImages, example: Tensor, groups: Groups, role: str) -> ForeignTeacher:
    """The teacher that `foreign` describes (its paths from the current folder), tried on `example` (N, C, H, W).

    Its linear head, if it shall have one, is not there yet.

    Raises:
        RecipeError, TrainingError, MissingDependencyError: for what is wrong with its code, files or answers.
    """
    trunk = make_trunk(foreign)
    with torch.inference_mode():
        scores, embedding = trunk(fit.to(example.device)(example))
    teacher = ForeignTeacher(fit, trunk, foreign.batch_size, embedding.shape[1])
    if foreign.mapping is not None:
        if scores is None:
            raise TrainingError("foreign.mapping: expected a network with classes, got one that only embeds.")
        names = load_class_names(foreign.classes, scores.shape[1])
        mapping = load_mapping(Path(foreign.mapping), groups, role, names, scores.shape[1])
        teacher.mapped = MappedClasses(mapping, probabilities=foreign.scores == "probabilities")
        teacher.silent_axes = mapping.silent_axes
    return teacher


def make_trunk(foreign: Foreign) -> Trunk:
    """The network of `foreign`, whose paths start from the current folder, on the CPU."""
    if foreign.onnx is not None:
        from hkd_edge.teachers.onnx_trunk import OnnxTrunk

        return OnnxTrunk(Path(foreign.onnx).expanduser(), foreign)
    from hkd_edge.teachers.torch_trunk import torch_trunk

    return torch_trunk(foreign)
