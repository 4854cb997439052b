"""From a model's outputs to answers with names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hkd_edge_runtime.errors import BundleError

if TYPE_CHECKING:
    import numpy.typing as npt

    from hkd_edge_runtime.backends.base import Outputs
    from hkd_edge_runtime.confidence import Confidence
    from hkd_edge_runtime.decision import Decision
    from hkd_edge_runtime.hierarchy import Hierarchy


@dataclass(frozen=True)
class ConceptAnswer:
    """The answer on one axis; `concept` is None if the axis most likely does not speak of the image.

    Attributes:
        score: the probability mass of the concept's classes, or of the classes on which the axis is silent.
    """

    concept: str | None
    score: float


class Answer:
    """What the model says about one image, worked out when it is asked for.

    `row` holds the bytes of 2 C + K float32: the logits and probabilities of the C classes, and the probabilities of
    the K concepts of all axes. All but `calibrated_score` and `label_or_concept` is the model's own, bit for bit as its
    graph computed it.

    Attributes:
        label: the class with the highest probability; `index` is its position in `labels`.
        score: its probability, 0 to 1.
        probabilities: (C,) float32, one per class; read-only.
        concepts: the answer on each axis, by its name.
        labels: the names of all classes; `hierarchy` has them with their concepts.
        logits: (C,) float32, read-only.
        confidence: the artefact's temperature and thresholds; None in a bundle without them.

    Raises:
        BundleError: by all that the model computed if a probability is not a number, which only a broken artefact or
            runtime gives.
    """

    __slots__ = ("_best", "_concepts", "_confidence", "_hierarchy", "_row")

    # The row is the last, so that a model can bind the others once.
    def __init__(self, hierarchy: Hierarchy, confidence: Confidence | None, row: bytes) -> None:
        self._row = row
        self._hierarchy = hierarchy
        self._confidence = confidence
        self._best: tuple[int, float] | None = None
        self._concepts: Mapping[str, ConceptAnswer] | None = None

    @property
    def label(self) -> str:
        return self._hierarchy.classes[self.index]

    @property
    def index(self) -> int:
        return self._find_best()[0]

    @property
    def score(self) -> float:
        return self._find_best()[1]

    @property
    def probabilities(self) -> npt.NDArray[np.float32]:
        self._find_best()
        return self._part(1, 2)

    @property
    def concepts(self) -> Mapping[str, ConceptAnswer]:
        if self._concepts is None:
            self._find_best()
            masses = self._part(2).tolist()
            self._concepts = {
                axis.name: concept_answer(axis.concepts, masses[own])
                for axis, own in zip(self._hierarchy.axes, self._hierarchy.slices(), strict=True)
            }
        return self._concepts

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        self._find_best()
        return self._part(0, 1)

    @property
    def labels(self) -> tuple[str, ...]:
        return self._hierarchy.classes

    @property
    def hierarchy(self) -> Hierarchy:
        return self._hierarchy

    @property
    def confidence(self) -> Confidence | None:
        return self._confidence

    @property
    def calibrated_score(self) -> float | None:
        """How often an answer with such a score is right, 0 to 1; None in a bundle without a temperature."""
        if self._confidence is None:
            return None
        from hkd_edge_runtime.decision import temper  # which needs this module; also below

        return float(temper(self.logits, self._confidence.temperature)[self.index])

    def label_or_concept(self, threshold: float | None = None) -> Decision:
        """The class if it is sure enough, else the surest concept that is, else neither; see `decision.decide`.

        Sure enough means the thresholds of the bundle, or `threshold` (0 to 1) in the place of all of them.

        Raises:
            BundleError: without a threshold where the bundle stores none.
            ValueError: for a threshold that is no number from 0 to 1.
        """
        from hkd_edge_runtime.decision import decide

        return decide(self.logits, self.index, self._hierarchy, self._confidence, threshold)

    def _find_best(self) -> tuple[int, float]:
        if self._best is None:
            probabilities = self._part(1, 2)
            index = int(probabilities.argmax())
            score = probabilities.item(index)
            # argmax stops at the first NaN, so this finds it wherever it is.
            if math.isnan(score):
                raise BundleError(
                    "probabilities: expected numbers, got NaN. The artefact does not run right here; verify it."
                )
            self._best = index, score
        return self._best

    def _part(self, start: int, end: int | None = None) -> npt.NDArray[np.float32]:
        classes = len(self._hierarchy.classes)
        numbers = np.frombuffer(self._row, np.float32)
        return numbers[start * classes : None if end is None else end * classes]

    def __repr__(self) -> str:
        return f"Answer(label={self.label!r}, score={self.score:.4g}, concepts={self.concepts!r})"

    def top(self, k: int) -> tuple[tuple[str, float], ...]:
        """The `k` most probable classes with their probabilities, best first; all of them if there are fewer.

        Raises:
            ValueError: for k < 1.
        """
        if k < 1:
            raise ValueError(f"k: expected a number >= 1, got {k}.")
        order = np.argsort(-self.probabilities, kind="stable")[:k]
        return tuple((self.labels[index], float(self.probabilities[index])) for index in order)

    def to_dict(self) -> dict[str, object]:
        """The answer as plain JSON values."""
        return {
            "label": self.label,
            "score": self.score,
            "index": self.index,
            "probabilities": dict(zip(self.labels, self.probabilities.tolist(), strict=True)),
            "concepts": {
                axis: {"concept": answer.concept, "score": answer.score} for axis, answer in self.concepts.items()
            },
        }


def decode(outputs: Outputs, hierarchy: Hierarchy, confidence: Confidence | None = None) -> list[Answer]:
    """One answer for each of the N images in `outputs`, in their order; `confidence` is the artefact's.

    Raises:
        BundleError: if a probability is not a number, which only a broken artefact or runtime gives.
    """
    answers = [Answer(hierarchy, confidence, row.tobytes()) for row in np.concatenate(outputs, axis=1)]
    for answer in answers:
        answer._find_best()
    return answers


def concept_answer(concepts: tuple[str, ...], masses: list[float]) -> ConceptAnswer:
    """The concept with the largest mass, unless the silent mass (1 - their sum) is larger still.

    >>> concept_answer(("long", "short"), [0.25, 0.125])
    ConceptAnswer(concept=None, score=0.625)
    """
    largest = max(masses)
    silent = 1.0 - sum(masses)
    if silent > largest:
        return ConceptAnswer(None, silent)
    return ConceptAnswer(concepts[masses.index(largest)], largest)
