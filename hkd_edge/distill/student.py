"""Training a student from labels and from the cached answers of its teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd_edge.data.augment import generator_for
from hkd_edge.data.resident import ResidentData
from hkd_edge.distill.cache import TeacherAnswers
from hkd_edge.distill.label_budget import budgeted_batch
from hkd_edge.distill.losses import (
    concept_label_loss,
    concept_log_probabilities,
    concept_loss,
    dkd_loss,
    embedding_loss,
    kd_loss,
    relational_loss,
    subclass_loss,
)
from hkd_edge.distill.schedule import weights_at
from hkd_edge.distill.subclasses import Subclasses
from hkd_edge.distill.tap import answer_and_tap, tapped_size
from hkd_edge.distill.teacher import AxisTables
from hkd_edge.evaluate.metrics import predict_logits, top1
from hkd_edge.models.network import Network
from hkd_edge.recipe.schema import Distill, Weights
from hkd_edge.train.device import autocast
from hkd_edge.train.optimizer import image_scale
from hkd_edge.train.team import ALONE, Team
from hkd_edge_runtime.hierarchy import Hierarchy

_PROJECTOR_STREAM, _SUBCLASS_STREAM, _HIDDEN_STREAM = (
    14,
    15,
    16,
)  # keep their initial weights apart from those of the networks


@dataclass(frozen=True)
class Teachers:
    """The cached answers of the teachers that the recipe names, and the subclasses found in the concept teacher's."""

    concept: TeacherAnswers | None
    task: TeacherAnswers | None
    subclasses: Subclasses | None = None


class DistillTask:
    """The weighted sum of the recipe's losses; what weighs 0 is not computed."""

    def __init__(
        self,
        student: Network,
        data: ResidentData,
        hierarchy: Hierarchy,
        settings: Distill,
        teachers: Teachers,
        precision: str,
        team: Team = ALONE,
        *,
        seed: int = 0,
    ) -> None:
        """`seed` draws the initial weights of the layers that exist in training only."""
        self._team = team
        self._data = data
        self._settings = settings
        self._teachers = teachers
        self._precision = precision
        self._tables = AxisTables.of(hierarchy, data.device, data.unlabelled) if hierarchy.axes else None
        modules: dict[str, nn.Module] = {"student": student}
        size, layer = student.embedding_size, settings.embedding.layer
        if layer is not None:
            size = tapped_size(
                student, layer, data.view_batch(0, torch.zeros(1, dtype=torch.int64, device=data.device))
            )
        if settings.weights.embedding > 0 and teachers.concept is not None:
            kind, target = settings.embedding.projector, teachers.concept.embedding_size
            modules["projector"] = _projector(kind, size, target, seed).to(data.device)
        if settings.weights.subclass > 0 and teachers.subclasses is not None:
            head = _linear(size, teachers.subclasses.count, seed, _SUBCLASS_STREAM, bias=True)
            modules["subclass_head"] = head.to(data.device)
        self.module: nn.Module = nn.ModuleDict(modules)

    def loss(self, epoch: int, indices: Tensor) -> Tensor:
        """The teachers' answers are those to the recipe's views in turn; see `Distill.fresh_views` for the images."""
        answered = epoch % self._settings.views
        seen = epoch if self._settings.fresh_views else answered
        scale = image_scale(epoch, self._settings.training)
        indices, labelled = budgeted_batch(indices, self._data.labelled, self._labelled_share)
        student: Network = self.module["student"]  # type: ignore[index]
        with autocast(self._data.device, self._precision):
            images = self._data.view_batch(seen, self._team.part(indices), scale)
            logits, embedding = answer_and_tap(student, images, self._settings.embedding.layer)
        logits, embedding = (self._team.whole(each.float(), len(indices)) for each in (logits, embedding))
        weights = weights_at(epoch, self._settings)
        return self._weighted(weights, logits, embedding, answered, indices, labelled)

    def accuracies(self, epoch: int, module: nn.Module) -> dict[str, float]:
        """Top-1 of the student on the validation images."""
        student: nn.Module = module["student"]  # type: ignore[index]
        normalize = self._data.normalize_at(image_scale(epoch, self._settings.training))
        logits = predict_logits(student, self._data.validation.images, normalize, self._precision, self._team)
        return {"top1": top1(logits, self._data.validation.labels)}

    @property
    def _labelled_share(self) -> float:
        """A student that learns from fine labels alone has no use for images without."""
        weights = self._settings.weights.model_dump(exclude={"ce"})
        return self._settings.labelled_share if any(weights.values()) else 1.0

    def _weighted(
        self, weights: Weights, logits: Tensor, embedding: Tensor, view: int, indices: Tensor, labelled: int
    ) -> Tensor:
        """The sum for a batch at `indices` (B,), of which the first `labelled` have a fine label."""
        total = torch.zeros((), device=logits.device)
        if weights.ce > 0:
            labels = self._data.train.labels[indices[:labelled]]
            smoothing = self._settings.training.label_smoothing
            classes = self._data.class_weights
            total = total + weights.ce * F.cross_entropy(logits[:labelled], labels, classes, label_smoothing=smoothing)
        if weights.concept_labels > 0 and self._tables is not None:
            total = total + weights.concept_labels * self._from_concept_labels(self._tables, logits, indices)
        if self._teachers.task is not None and weights.kd + weights.dkd > 0:
            answers = self._teachers.task.logits(view, indices)
            total = total + self._from_classes(weights, logits, answers, self._data.train.labels[indices[:labelled]])
        if self._teachers.concept is not None:
            total = total + self._from_concepts(weights, self._teachers.concept, logits, embedding, view, indices)
        return total

    def _from_classes(self, weights: Weights, logits: Tensor, answers: Tensor, labels: Tensor) -> Tensor:
        """From the task teacher's logits (B, C); the first images of the batch have the fine `labels`.

        Where there is none, the target of decoupled KD is the class that the teacher answers.
        """
        total, temperature, parts = (
            torch.zeros((), device=logits.device),
            self._settings.temperature,
            self._settings.dkd,
        )
        if weights.kd > 0:
            total = total + weights.kd * kd_loss(logits, answers, temperature)
        if weights.dkd > 0:
            targets = torch.cat([labels, answers[len(labels) :].argmax(dim=1)])
            total = total + weights.dkd * dkd_loss(logits, answers, targets, temperature, parts.alpha, parts.beta)
        return total

    def _from_concept_labels(self, tables: AxisTables, logits: Tensor, indices: Tensor) -> Tensor:
        """Cross-entropy of the concepts' masses q_a at temperature 1 with the labels of concepts, the mean over axes.

        It is `concept_loss` with a teacher that is always sure and always right.
        """
        prior = self._settings.divide_prior
        masses = [concept_log_probabilities(logits, each, 1.0, divide_prior=prior) for each in tables.memberships]
        return concept_label_loss(masses, tables.class_to_concepts[self._data.train.labels[indices]])

    def _from_concepts(
        self, weights: Weights, teacher: TeacherAnswers, logits: Tensor, embedding: Tensor, view: int, indices: Tensor
    ) -> Tensor:
        total = torch.zeros((), device=logits.device)
        if weights.concept > 0 and self._tables is not None:
            said = self._tables.split(teacher.logits(view, indices))
            total = total + weights.concept * concept_loss(
                logits,
                _spoken(said, teacher),
                _spoken(self._tables.memberships, teacher),
                self._settings.temperature,
                divide_prior=self._settings.divide_prior,
            )
        if weights.embedding > 0:
            projected = self.module["projector"](embedding)  # type: ignore[index]
            total = total + weights.embedding * embedding_loss(projected, teacher.embeddings(view, indices))
        if weights.relational > 0:
            total = total + weights.relational * relational_loss(embedding, teacher.embeddings(view, indices))
        if weights.subclass > 0 and self._tables is not None and self._teachers.subclasses is not None:
            subclasses, settings = self._teachers.subclasses, self._settings
            concepts = self._tables.split(teacher.logits(view, indices))
            embeddings = teacher.embeddings(view, indices)
            assigned = subclasses.assignments(concepts, embeddings, settings.temperature, settings.subclass.temperature)
            predicted = subclasses.split(self.module["subclass_head"](embedding))  # type: ignore[index]
            total = total + weights.subclass * subclass_loss(_spoken(predicted, teacher), _spoken(assigned, teacher))
        return total


def _spoken(by_axis: Sequence[Tensor], teacher: TeacherAnswers) -> list[Tensor]:
    """Of something for each axis that of the axes of which the teacher's logits speak."""
    return [each for axis, each in enumerate(by_axis) if axis not in teacher.silent_axes]


def _projector(kind: str, inputs: int, outputs: int, seed: int) -> nn.Module:
    if kind == "linear":
        return _linear(inputs, outputs, seed, _PROJECTOR_STREAM)
    hidden = _linear(inputs, outputs, seed, _HIDDEN_STREAM, bias=True)
    return nn.Sequential(hidden, nn.ReLU(), _linear(outputs, outputs, seed, _PROJECTOR_STREAM))


def _linear(inputs: int, outputs: int, seed: int, stream: int, *, bias: bool = False) -> nn.Linear:
    """A layer whose initial weights depend on (seed, stream) alone, and not on what was trained before it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator_for(seed, stream).initial_seed())
        return nn.Linear(inputs, outputs, bias=bias)
