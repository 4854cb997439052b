"""A comparison in sentences: what was found, and as plainly what cannot be told."""

from __future__ import annotations

from collections.abc import Iterator

from hkd_edge.compare.comparison import SIGNIFICANCE_LEVEL, Comparison, Paired
from hkd_edge.evaluate.result import Interval
from hkd_edge.evaluate.statistics import CHI_SQUARE_FROM, CONFIDENCE_LEVEL

_SMALLEST_SHOWN_P = 0.001


def found(comparison: Comparison, paired: Paired) -> str:
    """One subject of one run against the baseline: counts, difference, p-value and verdict."""
    return f"{paired.subject}: {_counts(comparison, paired)} {verdict(comparison, paired)}"


def _counts(comparison: Comparison, paired: Paired) -> str:
    pairs, difference = paired.pairs, paired.difference
    run, base = paired.run, comparison.baseline
    interval = f"{shown_points(difference.points)} points {shown_interval(difference.interval)}"
    if not pairs.discordant:
        return f"{run} and {base} are right on the same {_images(pairs.both)}: {interval}."
    return (
        f"{run} is right on {_images(pairs.only_second)} where {base} is wrong, {base} on {pairs.only_first:,} "
        f"where {run} is wrong: {interval}, {shown_p(paired.corrected_p_value)} after Holm."
    )


def verdict(comparison: Comparison, paired: Paired) -> str:
    """Which one is more accurate, or that this cannot be told."""
    if paired.significant:
        better = paired.run if paired.difference.points > 0 else comparison.baseline
        return f"{better} is more accurate."
    text = f"Which one is more accurate cannot be told from {_images(comparison.images)}"
    interval = paired.difference.interval
    if interval.low <= 0 <= interval.high:
        return f"{text}."
    alone = shown_p(paired.test.p_value)
    if paired.test.p_value < SIGNIFICANCE_LEVEL:
        several = len(comparison.paired)
        return f"{text}: alone it would be significant ({alone}), as one of {several} comparisons it is not."
    return f"{text}: the interval leaves 0 out, but McNemar's test, which is stricter, does not pass ({alone})."


def notes(comparison: Comparison) -> Iterator[str]:
    """How it was done and what it does not say."""
    several = len(comparison.paired)
    yield (
        f"Each run against {comparison.baseline}, on the same {_images(comparison.images)} "
        f"({comparison.test_images}). p: McNemar's test, two-sided, exact with fewer than {CHI_SQUARE_FROM} images on "
        f"which only one is right, else by chi-square with continuity correction; corrected after Holm over "
        f"{several} comparison{'s' if several > 1 else ''}; below {SIGNIFICANCE_LEVEL:g} it is significant. "
        f"Intervals of {100 * CONFIDENCE_LEVEL:g} %, each for itself: Tango's score interval for a paired difference, "
        "Wilson's for one accuracy."
    )
    yield (
        "What is tested are these trained networks, on images like these. What another seed would have made of the "
        "same recipe is not told by one run of each."
    )
    if comparison.machine:
        yield (
            "Latencies were measured under different conditions (see what differs between the machines); "
            "compare them with care."
        )
    else:
        yield "Latencies are of one machine, but of separate validations: what else it did then is in them too."
    yield from (f"Not compared: {text}." for text in comparison.not_paired)


def shown_points(points: float) -> str:
    """A difference in points with its sign.

    >>> shown_points(0.184), shown_points(-0.0)
    ('+0.18', '0.00')
    """
    return f"{points:+.2f}" if round(points, 2) else "0.00"


def shown_interval(interval: Interval) -> str:
    """The two ends of a difference's interval.

    >>> shown_interval(Interval(-0.05, 0.42))
    '[-0.05, +0.42]'
    """
    return f"[{shown_points(interval.low)}, {shown_points(interval.high)}]"


def shown_p(p_value: float) -> str:
    """A p-value with as many digits as mean something.

    >>> shown_p(0.0321), shown_p(0.00002), shown_p(1.0)
    ('p = 0.032', 'p < 0.001', 'p = 1')
    """
    if p_value < _SMALLEST_SHOWN_P:
        return f"p < {_SMALLEST_SHOWN_P:g}"
    return f"p = {shown_p_value(p_value)}"


def shown_p_value(p_value: float) -> str:
    """The number alone, for a column of them.

    >>> shown_p_value(0.0321), shown_p_value(0.00002), shown_p_value(0.04996)
    ('0.032', '<0.001', '0.04996')
    """
    if p_value < _SMALLEST_SHOWN_P:
        return f"<{_SMALLEST_SHOWN_P:g}"
    rounded = float(f"{p_value:.2g}")
    # Never rounded over the level by which it is judged.
    crossed = (rounded < SIGNIFICANCE_LEVEL) != (p_value < SIGNIFICANCE_LEVEL)
    return f"{p_value:.4g}" if crossed else f"{rounded:g}"


def _images(count: int) -> str:
    return f"{count:,} image" if count == 1 else f"{count:,} images"
