"""What accuracy costs in time and bytes, and how evenly the time is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from hkd_edge.evaluate.result import Row
from hkd_edge.report.svg import SMALL_PX, draw, frame
from hkd_edge.report.theme import SERIES, placeholder
from hkd_edge.report.wording import milliseconds, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_PX = 400
_LARGEST_AREA, _SMALLEST_AREA = 320.0, 20.0
_MARKERS = {"fp32": "o", "fp16": "s", "int8": "D"}
_BINS = 60
_NAME_STEPS = 3


def front_plot(rows: Sequence[Row], front: Sequence[str]) -> Markup:
    """Accuracy with its interval over the p50 of one image; the area is the size, the front is ringed and named."""
    timed = [row for row in rows if row.latency]
    colours = target_colours(rows)

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        most = max(row.size_bytes for row in timed)
        for row in sorted(timed, key=lambda each: -each.size_bytes):
            _point(axes, row, colours[row.target], row.size_bytes / most, ringed=row.title in front)
        _name_points(axes, [row for row in timed if row.title in front])
        frame(axes, "ms per image (p50, one image at a time)", "top-1 %")
        axes.set_xlim(0, 1.2 * max(row.latency.p50_ms for row in timed if row.latency))
        axes.margins(y=0.18)
        _legend(figure, timed, colours)
        return "; ".join(_point_in_words(row, ringed=row.title in front) for row in timed)

    return draw("front", "Accuracy, latency and size of the artefacts", (_WIDTH_PX, 350), paint)


def latency_plot(rows: Sequence[Row], seconds: Mapping[str, NDArray[Any]]) -> Markup:
    """A histogram of one call's time for each row, with marks at p50, p90 and p99; `seconds` by the rows' titles."""
    colours = target_colours(rows)
    shown = [row for row in rows if row.title in seconds]

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        end = 1.15 * max(float(np.percentile(seconds[row.title] * 1e3, 99)) for row in shown)
        for place, row in enumerate(shown):
            _histogram(axes, place, seconds[row.title] * 1e3, end, colours[row.target])
        axes.set_yticks([place + 0.15 for place in range(len(shown))], [row.title for row in shown])
        axes.set_xlim(0, end)
        axes.set_ylim(len(shown), -0.75)
        axes.spines["left"].set_visible(False)
        frame(axes, "ms per call with one image")
        axes.grid(visible=False, axis="y")
        return "; ".join(_spread_in_words(row.title, seconds[row.title] * 1e3, end) for row in shown)

    return draw("latency", "Distribution of latency", (_WIDTH_PX, 70 + 46 * len(shown)), paint)


def target_colours(rows: Sequence[Row]) -> dict[str, str]:
    """A colour's name for each target, in the order in which the targets come."""
    targets = dict.fromkeys(row.target for row in rows)
    return {target: SERIES[index % len(SERIES)] for index, target in enumerate(targets)}


def _point(axes: Axes, row: Row, colour: str, share: float, *, ringed: bool) -> None:
    assert row.latency is not None
    at, top1, ends = row.latency.p50_ms, row.test.top1, row.test.top1_interval
    # The interval may not hold the share itself only through rounding, never by more.
    reach = [[max(0.0, top1 - ends.low)], [max(0.0, ends.high - top1)]]
    axes.errorbar([at], [top1], yerr=reach, fmt="none", ecolor=placeholder(colour), alpha=0.5, capsize=3, elinewidth=1)
    axes.scatter(
        [at],
        [top1],
        s=max(_SMALLEST_AREA, share * _LARGEST_AREA),
        marker=_MARKERS.get(row.precision, "^"),
        facecolor=placeholder(colour),
        alpha=0.75,
        linewidths=0,
        zorder=3,
    )
    if ringed:
        ring = max(_SMALLEST_AREA, share * _LARGEST_AREA) * 1.5 + 40
        axes.scatter([at], [top1], s=ring, facecolor="none", edgecolor=placeholder("ink"), linewidths=1.3, zorder=4)


def _name_points(axes: Axes, rows: Sequence[Row]) -> None:
    """Names above the intervals, on steps, since neighbours may be close."""
    for index, row in enumerate(sorted(rows, key=lambda each: each.latency.p50_ms if each.latency else 0.0)):
        assert row.latency is not None
        axes.annotate(
            row.title,
            (row.latency.p50_ms, row.test.top1_interval.high),
            xytext=(0, 4 + 12 * (index % _NAME_STEPS)),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=SMALL_PX,
        )


def _legend(figure: Figure, rows: Sequence[Row], colours: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    def mark(title: str, marker: str, colour: str, face: str) -> Line2D:
        return Line2D([], [], linestyle="none", marker=marker, color=colour, markerfacecolor=face, label=title)

    targets = [
        mark(target, "s", placeholder(colours[target]), placeholder(colours[target]))
        for target in dict.fromkeys(row.target for row in rows)
    ]
    precisions = [
        mark(each, _MARKERS.get(each, "^"), placeholder("quiet"), placeholder("quiet"))
        for each in dict.fromkeys(row.precision for row in rows)
    ]
    ring = mark("on the front", "o", placeholder("ink"), "none")
    figure.legend(handles=[*targets, *precisions, ring], loc="outside lower center", ncols=3)


def _histogram(axes: Axes, place: int, calls_ms: NDArray[Any], end: float, colour: str) -> None:
    heights, edges = np.histogram(calls_ms, bins=_BINS, range=(0, end))
    base = place + 0.4
    tops = base - 0.85 * heights / max(1, heights.max())
    axes.stairs(tops, edges, baseline=base, fill=True, color=placeholder(colour), alpha=0.55, linewidth=0)
    axes.plot([0, end], [base, base], color=placeholder("line"), linewidth=0.8, zorder=1)
    p50, p90, p99 = np.percentile(calls_ms, (50, 90, 99))
    for at, width in ((p50, 2.2), (p90, 1.2), (p99, 1.2)):
        axes.plot([at, at], [base, base - (0.85 if at == p50 else 0.3)], color=placeholder("ink"), linewidth=width)
    axes.annotate(
        f"{milliseconds(float(p50))} ms",
        (p50, base - 0.85),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=SMALL_PX,
    )


def _point_in_words(row: Row, *, ringed: bool) -> str:
    latency = milliseconds(row.latency.p50_ms if row.latency else None)
    return (
        f"{row.title}: {row.test.top1:.2f} %, {latency} ms, {size(row.size_bytes)}{', on the front' if ringed else ''}"
    )


def _spread_in_words(title: str, calls_ms: NDArray[Any], end: float) -> str:
    p50, p90, p99 = (milliseconds(float(each)) for each in np.percentile(calls_ms, (50, 90, 99)))
    beyond = int((calls_ms > end).sum())
    return f"{title}: p50 {p50}, p90 {p90}, p99 {p99} ms of {len(calls_ms)} calls, {beyond} of them beyond the axis"
