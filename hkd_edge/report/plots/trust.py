"""How far scores can be believed, and what is answered when only sure answers are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from hkd_edge.evaluate.reliability import Bin
from hkd_edge.evaluate.result import Decided
from hkd_edge.report.findings import Calibration
from hkd_edge.report.svg import SMALL_PX, draw, frame
from hkd_edge.report.theme import placeholder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_PX = 400
_LARGEST_AREA, _SMALLEST_AREA = 260.0, 8.0
_ROOM_PERCENT = 7.0  # of a bar: less of it has no room for its number
_KINDS = (("class", "series-1"), ("concept", "series-3"), ("unsure", "axis"))


def reliability_plot(name: str, found: Calibration) -> Markup:
    """Accuracy over score by bins, before and after the temperature; the area is the number of images."""

    def paint(figure: Figure) -> str:
        both = figure.subplots(1, 2, sharex=True, sharey=True)
        least = min(min(each.score, each.accuracy) for each in (*found.before, *found.after))
        for axes, title, bins in zip(both, _titles(found), (found.before, found.after), strict=True):
            axes.set_title(title)
            _bins(axes, bins, max(0.0, least - 8))
        both[0].set_ylabel("right answers, %")
        return "; ".join(
            f"{title}: {_bins_in_words(bins)}"
            for title, bins in zip(_titles(found), (found.before, found.after), strict=True)
        )

    return draw(name, f"Reliability of {found.artefact}", (_WIDTH_PX, 250), paint)


def decided_plot(decided: Sequence[tuple[str, Decided]]) -> Markup:
    """For each artefact a bar: images answered by a class, by a concept, not at all."""

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        names = [title for title, _ in decided]
        lefts = [0.0] * len(decided)
        for kind, colour in _KINDS:
            widths = [_share(one, kind) for _, one in decided]
            bars = axes.barh(names, widths, left=lefts, height=0.62, color=placeholder(colour), alpha=0.4, label=kind)
            texts = [f"{width:.1f}" if width >= _ROOM_PERCENT else "" for width in widths]
            axes.bar_label(bars, texts, label_type="center", fontsize=SMALL_PX)
            lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        frame(axes, "test images, %")
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside upper center", ncols=3)
        return "; ".join(_decided_in_words(title, one) for title, one in decided)

    return draw("decided", "What sure answers say", (_WIDTH_PX, 80 + 26 * len(decided)), paint)


def _titles(found: Calibration) -> tuple[str, str]:
    return "As the network says", f"Temperature {found.temperature:.2f}"


def _bins(axes: Axes, bins: Sequence[Bin], least: float) -> None:
    most = max(each.images for each in bins)
    areas = [max(_SMALLEST_AREA, _LARGEST_AREA * each.images / most) for each in bins]
    scores, accuracies = [each.score for each in bins], [each.accuracy for each in bins]
    axes.plot([0, 100], [0, 100], color=placeholder("axis"), linewidth=1, linestyle="--")
    axes.plot(scores, accuracies, color=placeholder("series-1"), linewidth=1.2)
    axes.scatter(scores, accuracies, s=areas, color=placeholder("series-1"), alpha=0.6, linewidths=0, zorder=3)
    axes.set_xlim(least, 104)
    axes.set_ylim(least, 104)
    frame(axes, "score, %")


def _bins_in_words(bins: Sequence[Bin]) -> str:
    return ", ".join(f"{each.score:.0f} % sure and {each.accuracy:.0f} % right ({each.images} images)" for each in bins)


def _share(decided: Decided, kind: str) -> float:
    return {"class": decided.class_coverage, "concept": decided.concept_coverage, "unsure": decided.unsure}[kind]


def _decided_in_words(title: str, decided: Decided) -> str:
    return f"{title}: " + ", ".join(f"{kind} {_share(decided, kind):.2f} %" for kind, _ in _KINDS)
