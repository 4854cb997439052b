"""The two drawings of a comparison: paired differences with their intervals, and accuracy by latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from hkd_edge.compare.comparison import ArtefactFacts, Comparison, Paired
from hkd_edge.compare.words import shown_interval, shown_p, shown_points
from hkd_edge.report.svg import SMALL_PX, draw, frame
from hkd_edge.report.theme import SERIES, placeholder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_WIDTH_PX = 620
_ROW_PX, _FRAME_PX = 24, 62
_SCATTER_HEIGHT_PX = 380
_BESIDE_PX = (6, 4)


def differences_plot(comparison: Comparison) -> Markup:
    """A forest plot: a row for each comparison, filled where the difference is significant."""

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        frame(axes, f"points of top-1 more than {comparison.baseline}, with 95 % interval")
        axes.axvline(0, color=placeholder("axis"), linewidth=1)
        for row, paired in enumerate(comparison.paired):
            _paint_difference(axes, row, paired, _style(comparison, paired.run))
        axes.set_yticks(range(len(comparison.paired)), [f"{each.run}: {each.subject}" for each in comparison.paired])
        axes.set_ylim(len(comparison.paired) - 0.5, -0.5)
        return " ".join(map(_told, comparison.paired))

    height = _FRAME_PX + _ROW_PX * len(comparison.paired)
    return draw("differences", "Paired differences in top-1", (_WIDTH_PX, height), paint)


def latency_plot(comparison: Comparison) -> Markup | None:
    """Top-1 with Wilson's interval by the median time of one image; None if nothing was timed."""
    timed = [(run, each) for run in comparison.runs for each in run.artefacts if each.p50_ms is not None]
    if not timed:
        return None

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        frame(axes, "median time of one image, ms", "top-1, %")
        for run in dict.fromkeys(run.title for run, _ in timed):
            _paint_run(axes, run, [each for other, each in timed if other.title == run], _style(comparison, run))
        axes.set_xlim(left=0)
        axes.margins(x=0.12)
        axes.legend(loc="lower right")
        return " ".join(f"{run.title}, {each.title}: {each.top1:.2f} % at {each.p50_ms:.3f} ms." for run, each in timed)

    return draw("latencies", "Accuracy by latency", (_WIDTH_PX, _SCATTER_HEIGHT_PX), paint)


def _paint_difference(axes: Axes, row: int, paired: Paired, style: tuple[str, str]) -> None:
    marker, colour = style
    points, interval = paired.difference.points, paired.difference.interval
    axes.errorbar(
        points,
        row,
        xerr=[[points - interval.low], [interval.high - points]],
        fmt=marker,
        color=colour,
        markerfacecolor=colour if paired.significant else "none",
    )


def _paint_run(axes: Axes, run: str, artefacts: Sequence[ArtefactFacts], style: tuple[str, str]) -> None:
    marker, colour = style
    times = [each.p50_ms for each in artefacts if each.p50_ms is not None]
    accuracies = [each.top1 for each in artefacts]
    ends = [
        [each.top1 - each.top1_interval.low for each in artefacts],
        [each.top1_interval.high - each.top1 for each in artefacts],
    ]
    axes.errorbar(times, accuracies, yerr=ends, fmt=marker, color=colour, label=run, elinewidth=0.8)
    for time, accuracy, artefact in zip(times, accuracies, artefacts, strict=True):
        axes.annotate(
            artefact.title,
            (time, accuracy),
            xytext=_BESIDE_PX,
            textcoords="offset points",
            color=placeholder("quiet"),
            fontsize=SMALL_PX,
        )


def _style(comparison: Comparison, run: str) -> tuple[str, str]:
    """A run's marker and colour, the same in both drawings."""
    index = [each.title for each in comparison.runs].index(run)
    return _MARKERS[index % len(_MARKERS)], placeholder(SERIES[index % len(SERIES)])


def _told(paired: Paired) -> str:
    difference = paired.difference
    return (
        f"{paired.run}, {paired.subject}: {shown_points(difference.points)} {shown_interval(difference.interval)}, "
        f"{shown_p(paired.corrected_p_value)} after Holm."
    )
