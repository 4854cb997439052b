"""From a model's outputs to answers with names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime.backends.base import Outputs
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.hierarchy import Hierarchy

if TYPE_CHECKING:
    from hkd_edge_runtime.confidence import Confidence
    from hkd_edge_runtime.decision import Decision


@dataclass(frozen=True)
class ConceptAnswer:
    """The answer on one axis; `concept` is None if the axis most likely does not speak of the image.

    Attributes:
        score: the probability mass of the concept's classes, or of the classes on which the axis is silent.
    """

    concept: str | None
    score: float


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says about one image.

    All but `calibrated_score` and `label_or_concept` is the model's own, bit for bit as its graph computed it.

    Attributes:
        label: the class with the highest probability; `index` is its position in `labels`.
        score: its probability, 0 to 1.
        probabilities: (C,) float32, one per class.
        concepts: the answer on each axis, by its name.
        logits: (C,) float32.
        confidence: the artefact's temperature and thresholds; None in a bundle without them.
    """

    label: str
    score: float
    index: int
    probabilities: npt.NDArray[np.float32]
    concepts: Mapping[str, ConceptAnswer]
    labels: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    hierarchy: Hierarchy
    confidence: Confidence | None

    @property
    def calibrated_score(self) -> float | None:
        """How often an answer with such a score is right, 0 to 1; None in a bundle without a temperature."""
        from hkd_edge_runtime.decision import temper

        return float(temper(self.logits, self.confidence.temperature)[self.index]) if self.confidence else None

    def label_or_concept(self, threshold: float | None = None) -> Decision:
        """The class if it is sure enough, else the surest concept that is, else neither; see `decision.decide`.

        Sure enough means the thresholds of the bundle, or `threshold` (0 to 1) in the place of all of them.

        Raises:
            BundleError: without a threshold where the bundle stores none.
            ValueError: for a threshold that is no number from 0 to 1.
        """
        # Imported here, since `decision` needs this module.
        from hkd_edge_runtime.decision import decide

        return decide(self.logits, self.index, self.hierarchy, self.confidence, threshold)

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
    columns = hierarchy.slices()
    return [
        _answer(logits, probabilities, masses, hierarchy, columns, confidence)
        for logits, probabilities, masses in zip(
            outputs.logits, outputs.probabilities, outputs.concept_probabilities.tolist(), strict=True
        )
    ]


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


def _answer(
    logits: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
    masses: list[float],
    hierarchy: Hierarchy,
    columns: tuple[slice, ...],
    confidence: Confidence | None,
) -> Answer:
    index = int(probabilities.argmax())
    score = float(probabilities[index])
    # argmax stops at the first NaN, so this finds it wherever it is.
    if math.isnan(score):
        raise BundleError("probabilities: expected numbers, got NaN. The artefact does not run right here; verify it.")
    concepts = {
        axis.name: concept_answer(axis.concepts, masses[own]) for axis, own in zip(hierarchy.axes, columns, strict=True)
    }
    return Answer(
        *(hierarchy.classes[index], score, index, probabilities, concepts, hierarchy.classes),
        *(logits, hierarchy, confidence),
    )
