"""Means over seeds and paired differences by seed, by scipy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_1samp

from hkd_edge.evaluate.result import Interval
from hkd_edge.evaluate.statistics import CONFIDENCE_LEVEL

# All 2^n signs are tried up to here; with more seeds the t-test needs no company.
_MOST_SEEDS_FLIPPED = 16
_SAME = 1e-9  # means of flipped differences that differ by rounding alone count as equal


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (with n - 1; None for one value) of a measure over n seeds."""

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True)
class PairedMeans:
    """A method's measure less a baseline's, seed by seed.

    The interval of the mean difference and `p_value` are Student's (None for one seed); `sign_p_value` is that of the
    test that flips signs, which assumes symmetry alone (None beyond 16 seeds). Neither is corrected.
    """

    differences: tuple[float, ...]
    mean: float
    interval: Interval | None
    p_value: float | None
    sign_p_value: float | None


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of `values`.

    >>> spread([1.0, 3.0])
    Spread(mean=2.0, deviation=1.4142135623730951, seeds=2)
    """
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), deviation, len(values))


def paired_means(first: Sequence[float], second: Sequence[float]) -> PairedMeans:
    """How much larger the `second` values are than the `first`, of the same seeds in the same order.

    Raises:
        ValueError: for none, or another number of them.
    """
    if len(first) != len(second) or len(first) == 0:
        raise ValueError(f"expected values of the same seeds twice, got {len(first)} and {len(second)}.")
    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    interval, p_value = _student(differences)
    return PairedMeans(
        tuple(differences.tolist()), float(differences.mean()), interval, p_value, sign_flip_p_value(differences)
    )


def sign_flip_p_value(differences: Sequence[float] | np.ndarray) -> float | None:
    """Share of the 2^n ways to set the signs of n differences whose mean is at least as far from 0, exactly.

    R. A. Fisher, The Design of Experiments, 1935, section 21. With n seeds it is never below 2^(1 - n): 0.0625 for 5.

    >>> sign_flip_p_value([1.0, 2.0, 3.0])
    0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) > _MOST_SEEDS_FLIPPED:
        return None
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(values))))
    return float(np.mean(np.abs(signs @ values) >= abs(values.sum()) - _SAME))


def _student(differences: np.ndarray) -> tuple[Interval | None, float | None]:
    """The 95 % interval of the mean and the p-value of its being 0 (Student, Biometrika 6, 1908)."""
    if len(differences) < 2:
        return None, None
    if np.ptp(differences) < _SAME:  # no spread to judge by: t would be infinite, or 0 / 0
        mean = float(differences.mean())
        return Interval(round(mean, 4), round(mean, 4)), None if abs(mean) > _SAME else 1.0
    test = ttest_1samp(differences, 0.0)
    ends = test.confidence_interval(CONFIDENCE_LEVEL)
    return Interval(round(float(ends.low), 4), round(float(ends.high), 4)), float(test.pvalue)
