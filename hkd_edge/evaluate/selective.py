"""When an artefact may be believed: temperature scaling, and thresholds for a wanted accuracy.

The field calls it selective classification. A threshold is not the one at which the validation images happen to reach
the accuracy, which would promise too much (the best of many is lucky), but one at which a lower accuracy can be ruled
out, by an exact binomial test, as Y. Geifman and R. El-Yaniv do (arXiv 1705.08500). Departure: candidates are tested
one after the other from the strictest down, in an order that the images have no say in, up to the first that fails.
The level then holds for the result without a correction for the number of candidates (fixed sequence testing:
A. Angelopoulos et al., arXiv 2110.01052, section 4), which the paper's binary search needs and which costs coverage.

What the level leaves out: the temperature, one number, is fitted to the same images, the way to INT8 was chosen by
them, and an axis is tested on the images that the threshold for classes leaves over. Test images show what it comes to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hkd_edge.recipe.delivery import Selective
from hkd_edge_runtime.confidence import Confidence, OperatingPoint
from hkd_edge_runtime.decision import decide, temper
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

# Few images without a single error would pull the temperature to 0, and as many with nothing but errors to infinity.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
_BISECTIONS = 50
_ODDS_STEP = 0.9


@dataclass(frozen=True)
class Decisions:
    """What `decide` said of a set of images, in percent; an accuracy is None where nothing was answered so.

    Attributes:
        class_coverage: of the images, those answered by a class; likewise `concept_coverage` and `unsure`.
        class_accuracy: of those, the right ones; likewise `concept_accuracy`.
    """

    images: int
    class_coverage: float
    class_accuracy: float | None
    concept_coverage: float
    concept_accuracy: float | None
    unsure: float


def fit_temperature(logits: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """The temperature with the least cross-entropy of softmax(logits / T) (C. Guo et al., arXiv 1706.04599, sec. 4.2).

    Logits (N, C), labels (N,). The loss is convex in 1/T, so bisecting its slope, mean(E_p[z] - z_label), finds the one
    minimum; it is kept within `MIN_TEMPERATURE` and `MAX_TEMPERATURE`.
    """
    right = logits[np.arange(len(labels)), labels].astype(np.float64)
    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        expected = (temper(logits, math.exp(middle)) * logits).sum(axis=1)
        # A positive slope in 1/T asks for a smaller 1/T, hence a larger T.
        low, high = (middle, high) if np.mean(expected - right) > 0 else (low, middle)
    return math.exp((low + high) / 2)


def calibrate(logits: NDArray[Any], labels: NDArray[np.int64], hierarchy: Hierarchy, wanted: Selective) -> Confidence:
    """The temperature and the thresholds of an artefact by its logits (N, C) on the validation images.

    Those of concepts are chosen on the images whose class is not sure, which are harder than the rest: only there is a
    concept asked for. The level is that of each threshold by itself.
    """
    temperature = fit_temperature(logits, labels)
    probabilities = temper(logits, temperature)
    predicted = probabilities.argmax(axis=1)
    scores = probabilities[np.arange(len(labels)), predicted]
    label = operating_point(scores, predicted == labels, len(labels), wanted)
    unsure = scores < label.threshold if label else np.full(len(labels), True)
    points = {
        axis.name: _axis_point(axis, probabilities[unsure], labels[unsure], len(labels), wanted)
        for axis in hierarchy.axes
    }
    axes = {name: point for name, point in points.items() if point}
    return Confidence(temperature, wanted.accuracy, wanted.confidence_level, len(labels), axes, label)


def operating_point(
    scores: NDArray[np.float64], right: NDArray[np.bool_], images: int, wanted: Selective
) -> OperatingPoint | None:
    """The lowest threshold in the sequence that passes the test; None if the first, strictest one fails.

    Scores (M,) and whether each answer is right (M,); the coverage is told as a share of `images`, which may be more.
    """
    best = None
    for threshold in candidates(wanted.accuracy):
        sure = scores >= threshold
        covered, wrong = int(sure.sum()), int((sure & ~right).sum())
        if error_tail(wrong, covered, 1 - wanted.accuracy / 100) > 1 - wanted.confidence_level / 100:
            break
        best = OperatingPoint(threshold, 100 * covered / images, 100 * (covered - wrong) / covered)
    return best


def candidates(accuracy_percent: float) -> Iterator[float]:
    """Thresholds from the wanted accuracy down, each with 0.9 of the odds of the one before; at last 0, all images.

    Scores that are calibrated are right at least that often above the first one, so it needs no stricter one.
    """
    odds = accuracy_percent / (100 - accuracy_percent)
    while odds > 0.01:
        yield round(odds / (1 + odds), 4)
        odds *= _ODDS_STEP
    yield 0.0


def error_tail(wrong: int, covered: int, risk: float) -> float:
    """P(at most `wrong` errors in `covered` answers) if each is wrong with probability `risk`; 1 for no answers.

    The p-value against "the risk is larger"; it is small just where Clopper and Pearson's upper bound is below `risk`.

    >>> error_tail(0, 2, 0.25)
    0.5625
    """
    if covered == 0:
        return 1.0
    logs = [
        math.lgamma(covered + 1)
        - math.lgamma(errors + 1)
        - math.lgamma(covered - errors + 1)
        + errors * math.log(risk)
        + (covered - errors) * math.log1p(-risk)
        for errors in range(wrong + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, logs)))


def measure_decisions(
    logits: NDArray[Any], labels: NDArray[np.int64], hierarchy: Hierarchy, confidence: Confidence
) -> Decisions:
    """What the runtime decides by its thresholds for each image, compared with the labels (N,)."""
    kinds: dict[Literal["class", "concept", "unsure"], list[bool]] = {"class": [], "concept": [], "unsure": []}
    names = {axis.name: (*axis.concepts, None) for axis in hierarchy.axes}
    concepts = {axis.name: axis.class_to_concept for axis in hierarchy.axes}
    for row, index, label in zip(logits, logits.argmax(axis=1).tolist(), labels.tolist(), strict=True):
        decision = decide(row, index, hierarchy, confidence)
        if decision.axis is None:
            kinds[decision.kind].append(index == label)
        else:
            # The last name stands for the axis being silent on the class, which -1 leads to.
            kinds["concept"].append(decision.name == names[decision.axis][concepts[decision.axis][label]])
    share = {kind: 100 * len(right) / len(labels) for kind, right in kinds.items()}
    accuracy = {kind: 100 * sum(right) / len(right) if right else None for kind, right in kinds.items()}
    return Decisions(
        *(len(labels), share["class"], accuracy["class"], share["concept"], accuracy["concept"], share["unsure"])
    )


def _axis_point(
    axis: Axis, probabilities: NDArray[np.float64], labels: NDArray[np.int64], images: int, wanted: Selective
) -> OperatingPoint | None:
    masses = probabilities @ axis.membership()
    spoken = masses.max(axis=1) >= 1 - masses.sum(axis=1)
    right = np.asarray(axis.class_to_concept)[labels] == masses.argmax(axis=1)
    return operating_point(masses.max(axis=1)[spoken], right[spoken], images, wanted)
