"""Class, concept or neither: what an artefact is sure enough of, by calibrated probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime.confidence import Confidence, OperatingPoint
from hkd_edge_runtime.decode import concept_answer
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.hierarchy import Hierarchy

UNCALIBRATED = 1.0


@dataclass(frozen=True)
class Decision:
    """The most precise thing that can be said with certainty.

    Attributes:
        kind: `class`, `concept`, or `unsure` if neither is sure enough.
        name: of the class or the concept; None if unsure.
        axis: of the concept; otherwise None.
        score: the calibrated probability of what is named; if unsure, of the most probable class.
    """

    kind: Literal["class", "concept", "unsure"]
    name: str | None
    axis: str | None
    score: float


def temper(logits: npt.NDArray[Any], temperature: float) -> npt.NDArray[np.float64]:
    """softmax(logits / T) over the last axis, in float64 (C. Guo et al., arXiv 1706.04599, eq. 9).

    >>> temper(np.log([0.2, 0.8]), 0.5).round(4).tolist()
    [0.0588, 0.9412]
    """
    scaled = np.asarray(logits, np.float64) / temperature
    odds = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = odds / odds.sum(axis=-1, keepdims=True)
    return probabilities


def decide(
    logits: npt.NDArray[Any],
    index: int,
    hierarchy: Hierarchy,
    confidence: Confidence | None,
    threshold: float | None = None,
) -> Decision:
    """The class at `index` if it is sure enough, else the surest concept that is, else neither.

    Logits (C,) are tempered; a concept's score is the tempered mass of its classes. An axis that most likely does not
    speak of the image has no concept to give. `threshold` (0 to 1) takes the place of every stored one; where no
    temperature is stored it is held against the model's own probabilities.

    Raises:
        BundleError: without a threshold where the bundle stores none.
        ValueError: for a threshold that is no number from 0 to 1.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold: expected a number from 0 to 1, got {threshold}.")
    if threshold is None and confidence is None:
        raise BundleError(
            "label_or_concept: expected thresholds in the bundle, got none. Give a threshold, or make the bundle again."
        )
    probabilities = temper(logits, confidence.temperature if confidence else UNCALIBRATED)
    score = float(probabilities[index])
    if _suffices(score, confidence.label if confidence else None, threshold):
        return Decision("class", hierarchy.classes[index], None, score)
    points = confidence.axes if confidence else {}
    concepts = [
        Decision("concept", answer.concept, axis.name, answer.score)
        for axis in hierarchy.axes
        for answer in [concept_answer(axis.concepts, (probabilities @ axis.membership()).tolist())]
        if answer.concept is not None and _suffices(answer.score, points.get(axis.name), threshold)
    ]
    return max(concepts, key=lambda each: each.score, default=Decision("unsure", None, None, score))


def _suffices(score: float, point: OperatingPoint | None, threshold: float | None) -> bool:
    if threshold is not None:
        return score >= threshold
    return point is not None and score >= point.threshold
