"""Intervals and tests for shares of right answers, by scipy."""

from __future__ import annotations

from scipy.stats import binomtest

from hkd_edge.evaluate.result import Interval

CONFIDENCE_LEVEL = 0.95


def wilson_interval(right: int, images: int) -> Interval:
    """The 95 % interval of a share of `right` in `images` answers, in percent (E. B. Wilson, JASA 22, 1927).

    >>> wilson_interval(9, 10)
    Interval(low=59.585, high=98.2124)
    """
    ends = binomtest(right, images).proportion_ci(CONFIDENCE_LEVEL, method="wilson")
    return Interval(round(100 * float(ends.low), 4), round(100 * float(ends.high), 4))
