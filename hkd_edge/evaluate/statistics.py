"""Intervals and tests for shares of right answers, by scipy: one set of answers, or two sets to the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binomtest, chi2, norm

from hkd_edge.evaluate.result import Interval

CONFIDENCE_LEVEL = 0.95
# From so many discordant pairs on the chi-square approximation is taken for good enough (statistics' customary bound).
CHI_SQUARE_FROM = 25
# The equation of Tango's ends has a root at the estimate itself where all images or none are discordant one way.
_BESIDE = 1e-9


@dataclass(frozen=True)
class Pairs:
    """Two sets of answers to the same images, by which of them are right, in images."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def images(self) -> int:
        """All of them."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def discordant(self) -> int:
        """Images on which just one of the two is right; the others do not tell the two apart."""
        return self.only_first + self.only_second


@dataclass(frozen=True)
class PairedDifference:
    """The second set's top-1 less the first's, in points, with its 95 % interval."""

    points: float
    interval: Interval


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of equal accuracy, two-sided, and by which distribution its p-value is."""

    p_value: float
    method: Literal["exact", "chi-square"]


def wilson_interval(right: int, images: int) -> Interval:
    """The 95 % interval of a share of `right` in `images` answers, in percent (E. B. Wilson, JASA 22, 1927).

    >>> wilson_interval(9, 10)
    Interval(low=59.585, high=98.2124)
    """
    ends = binomtest(right, images).proportion_ci(CONFIDENCE_LEVEL, method="wilson")
    return _percent(float(ends.low), float(ends.high))


def pairs_of(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Pairs:
    """How two sets of answers fall together; (N,) each, true where the answer to an image is right.

    Raises:
        ValueError: if the two are not of the same images, or of none.
    """
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(
            f"expected answers to the same images twice, (N,) with N >= 1, got {first.shape, second.shape}."
        )
    counts = [(first & second), (first & ~second), (~first & second), (~first & ~second)]
    return Pairs(*(int(count.sum()) for count in counts))


def mcnemar(pairs: Pairs) -> McNemar:
    """Whether the two are equally often right (Q. McNemar, Psychometrika 12, 1947).

    With fewer than CHI_SQUARE_FROM discordant pairs by the binomial distribution, else by chi-square with Edwards's
    continuity correction (Psychometrika 13, 1948). The correction never makes two equal counts look different: where
    it is larger than the difference the p-value is 1.

    >>> mcnemar(Pairs(both=90, only_first=2, only_second=8, neither=0))
    McNemar(p_value=0.109375, method='exact')
    """
    first, second, discordant = pairs.only_first, pairs.only_second, pairs.discordant
    if not discordant:
        return McNemar(1.0, "exact")
    if discordant < CHI_SQUARE_FROM:
        return McNemar(float(binomtest(second, discordant).pvalue), "exact")
    statistic = max(0, abs(second - first) - 1) ** 2 / discordant
    return McNemar(float(chi2.sf(statistic, 1)), "chi-square")


def paired_difference(pairs: Pairs) -> PairedDifference:
    """The difference of the two shares of right answers with Tango's score interval (Statistics in Medicine 17, 1998).

    Its ends are the differences that the score test does not quite reject. It stays within 100 points, and has a width
    where no pair is discordant, too.

    >>> paired_difference(Pairs(both=1, only_first=1, only_second=7, neither=12))
    PairedDifference(points=28.5714, interval=Interval(low=2.6003, high=51.7232))
    """
    estimate = (pairs.only_second - pairs.only_first) / pairs.images
    z_squared = float(norm.ppf((1 + CONFIDENCE_LEVEL) / 2)) ** 2

    def excess(difference: float) -> float:
        """Negative inside the interval, 0 at its ends."""
        distance = pairs.images * (estimate - difference)
        return distance**2 - z_squared * _score_variance(pairs, difference)

    low = -1.0 if estimate == -1 else float(brentq(excess, -1.0, estimate - _BESIDE))
    high = 1.0 if estimate == 1 else float(brentq(excess, estimate + _BESIDE, 1.0))
    return PairedDifference(round(100 * estimate, 4), _percent(low, high))


def _score_variance(pairs: Pairs, difference: float) -> float:
    """The variance of only_second - only_first if `difference` were true (Tango, eq. 5), nuisance share by eq. 6."""
    images, first, second = pairs.images, pairs.only_first, pairs.only_second
    linear = (2 * images - second + first) * difference - first - second
    constant = -first * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear**2 - 8 * images * constant))
    only_first_share = (root - linear) / (4 * images)
    return images * max(0.0, 2 * only_first_share + difference * (1 - difference))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values corrected for being several, in their order (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    Taking those below a level for true then errs at most at that level over all of them together.

    >>> holm([0.01, 0.5, 0.02])
    (0.03, 0.5, 0.04)
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return tuple(corrected)


def _percent(low: float, high: float) -> Interval:
    return Interval(round(100 * low, 4), round(100 * high, 4))
