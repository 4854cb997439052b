"""Training a teacher: of concepts (a head per axis) or of the classes themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd_edge.data.resident import ResidentData
from hkd_edge.data.unlabelled import Concepts, concept_indices
from hkd_edge.distill.label_budget import budgeted_batch
from hkd_edge.distill.losses import concept_label_loss
from hkd_edge.evaluate.metrics import predict_logits, top1
from hkd_edge.recipe.schema import Training
from hkd_edge.train.device import autocast
from hkd_edge.train.optimizer import image_scale
from hkd_edge.train.team import ALONE, Team
from hkd_edge_runtime.hierarchy import Hierarchy


@dataclass(frozen=True)
class AxisTables:
    """The hierarchy as tensors: per axis a membership (C, K_a) float32, the columns of its logits, and per label its
    concept on every axis (C + R, axes) int64 with -1 where the axis is silent: C classes, and R labels of images
    without a class."""

    memberships: tuple[Tensor, ...]
    columns: tuple[slice, ...]
    class_to_concepts: Tensor

    @classmethod
    def of(cls, hierarchy: Hierarchy, device: torch.device, unlabelled: Sequence[Concepts] = ()) -> AxisTables:
        """The tables of `hierarchy` on `device`, with a row for each of `unlabelled`, see `Dataset`."""
        memberships = tuple(torch.from_numpy(axis.membership()).to(device) for axis in hierarchy.axes)
        concepts = torch.tensor([axis.class_to_concept for axis in hierarchy.axes], dtype=torch.int64)
        without_class = torch.from_numpy(concept_indices(unlabelled, hierarchy))
        return cls(memberships, hierarchy.slices(), torch.cat([concepts.T, without_class]).contiguous().to(device))

    def split(self, logits: Tensor) -> list[Tensor]:
        """Logits (N, K) of all axes side by side as one (N, K_a) per axis."""
        return [logits[:, columns] for columns in self.columns]


class ConceptTeacherTask:
    """Cross-entropy with the concept labels of every axis; never sees a class label."""

    def __init__(
        self,
        network: nn.Module,
        data: ResidentData,
        hierarchy: Hierarchy,
        settings: Training,
        precision: str,
        team: Team = ALONE,
    ) -> None:
        self.module = network
        self._team = team
        self._data = data
        self._settings = settings
        self._precision = precision
        self._axis_names = [axis.name for axis in hierarchy.axes]
        self._tables = AxisTables.of(hierarchy, data.device, data.unlabelled)
        self._labels = self._tables.class_to_concepts[data.train.labels]

    def loss(self, epoch: int, indices: Tensor) -> Tensor:
        """Mean over the axes; a new view every epoch."""
        images = self._data.view_batch(epoch, self._team.part(indices), image_scale(epoch, self._settings))
        with autocast(self._data.device, self._precision):
            logits = self.module(images)
        logits = self._team.whole(logits.float(), len(indices))
        return concept_label_loss(self._tables.split(logits), self._labels[indices])

    def accuracies(self, epoch: int, module: nn.Module) -> dict[str, float]:
        """Concept accuracy per axis on the validation images on whose class the axis speaks."""
        normalize = self._data.normalize_at(image_scale(epoch, self._settings))
        logits = predict_logits(module, self._data.validation.images, normalize, self._precision, self._team)
        labels = self._tables.class_to_concepts[self._data.validation.labels]
        return concept_accuracies(self._tables.split(logits), labels, self._axis_names)


class TaskTeacherTask:
    """Cross-entropy with the class labels: what traditional distillation learns from; sees images with labels alone."""

    def __init__(
        self, network: nn.Module, data: ResidentData, settings: Training, precision: str, team: Team = ALONE
    ) -> None:
        self.module = network
        self._team = team
        self._data = data
        self._settings = settings
        self._precision = precision

    def loss(self, epoch: int, indices: Tensor) -> Tensor:
        """A new view every epoch."""
        indices, _ = budgeted_batch(indices, self._data.labelled, 1.0)
        images = self._data.view_batch(epoch, self._team.part(indices), image_scale(epoch, self._settings))
        with autocast(self._data.device, self._precision):
            logits = self.module(images)
        logits = self._team.whole(logits.float(), len(indices))
        labels = self._data.train.labels[indices]
        weights = self._data.class_weights
        return F.cross_entropy(logits, labels, weights, label_smoothing=self._settings.label_smoothing)

    def accuracies(self, epoch: int, module: nn.Module) -> dict[str, float]:
        """Top-1 on the validation images."""
        normalize = self._data.normalize_at(image_scale(epoch, self._settings))
        logits = predict_logits(module, self._data.validation.images, normalize, self._precision, self._team)
        return {"top1": top1(logits, self._data.validation.labels)}


def concept_accuracies(logits: Sequence[Tensor], labels: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Percent right per axis: logits or masses (N, K_a) per axis, labels (N, axes) with -1 where the axis is silent.

    Only images on whose class the axis speaks are counted.
    """
    result = {}
    for axis, name in enumerate(names):
        spoken = labels[:, axis] >= 0
        result[name] = top1(logits[axis][spoken], labels[spoken, axis])
    return result
