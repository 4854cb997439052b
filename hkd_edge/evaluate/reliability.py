"""Whether scores are shares of right answers: reliability diagrams and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Bin:
    """The answers whose score lies in one of `BINS` equal parts of 0 to 1; score and accuracy are means in percent."""

    images: int
    score: float
    accuracy: float


def reliability_bins(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> tuple[Bin, ...]:
    """Probabilities (N, C) and labels (N,) by the largest probability; bins without answers are left out.

    A score on the border of two bins belongs to the upper one, and a score of 1 to the last.
    """
    scores, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    places = np.minimum((scores * BINS).astype(int), BINS - 1)
    images, score_sums, right_sums = (
        np.bincount(places, weights=weights, minlength=BINS) for weights in (np.ones(len(labels)), scores, right)
    )
    return tuple(
        Bin(int(count), 100 * float(score_sum / count), 100 * float(right_sum / count))
        for count, score_sum, right_sum in zip(images, score_sums, right_sums, strict=True)
        if count
    )


def calibration_error_percent(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Expected calibration error in percentage points, 15 equal bins (C. Guo et al., arXiv 1706.04599, eq. 3).

    The mean over probabilities (N, C) of |share of right answers - mean score| of the bin that the score falls in.
    """
    bins = reliability_bins(probabilities, labels)
    return sum(each.images * abs(each.accuracy - each.score) for each in bins) / len(labels)
