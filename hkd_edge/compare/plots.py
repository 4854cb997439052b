"""The two drawings of a comparison: paired differences with their intervals, and accuracy by latency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from hkd_edge.compare.comparison import ArtefactFacts, Comparison, Paired
from hkd_edge.compare.words import shown_interval, shown_p, shown_points
from hkd_edge.report.svg import draw, frame
from hkd_edge.report.theme import SERIES, placeholder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_WIDTH_PX = 620
_ROW_PX, _FRAME_PX = 24, 62
_PANEL_PX, _PANELS_HEIGHT_PX = 165, 300
_TICKS, _LEGEND_COLUMNS = 3, 4


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
    """Top-1 with Wilson's interval by the median time of one image, a panel for each artefact; None if none was timed.

    One panel for all would lay runs of one architecture, which differ by little, over each other with their names.
    """
    timed = [(run.title, each) for run in comparison.runs for each in run.artefacts if each.p50_ms is not None]
    artefacts = list(dict.fromkeys(each.title for _, each in timed))
    if not timed:
        return None

    def paint(figure: Figure) -> str:
        panels = figure.subplots(1, len(artefacts), sharex=True, sharey=True, squeeze=False)[0]
        for axes, artefact in zip(panels, artefacts, strict=True):
            frame(axes, "ms, median", "top-1, %" if axes is panels[0] else "")
            axes.set_title(artefact)
            for run, each in timed:
                if each.title == artefact:
                    _paint_artefact(axes, run, each, _style(comparison, run))
        panels[0].locator_params(axis="x", nbins=_TICKS)
        panels[0].set_xlim(0, 1.15 * max(each.p50_ms or 0.0 for _, each in timed))
        shown = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(shown.values(), shown.keys(), loc="outside lower left", ncols=min(len(shown), _LEGEND_COLUMNS))
        return " ".join(f"{run}, {each.title}: {each.top1:.2f} % at {each.p50_ms:.3f} ms." for run, each in timed)

    size = (max(_WIDTH_PX, _PANEL_PX * len(artefacts)), _PANELS_HEIGHT_PX)
    return draw("latencies", "Accuracy by latency", size, paint)


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


def _paint_artefact(axes: Axes, run: str, artefact: ArtefactFacts, style: tuple[str, str]) -> None:
    marker, colour = style
    top1, interval = artefact.top1, artefact.top1_interval
    axes.errorbar(
        artefact.p50_ms or 0.0,
        top1,
        yerr=[[top1 - interval.low], [interval.high - top1]],
        fmt=marker,
        color=colour,
        label=run,
        elinewidth=0.8,
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
