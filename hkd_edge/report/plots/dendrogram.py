"""The tree that groups of classes were cut from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from hkd_edge.report.svg import SMALL_PX, draw
from hkd_edge.report.theme import SERIES, placeholder
from hkd_edge.report.wording import listed, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hkd_edge.concepts.suggest import SuggestedAxis

_WIDTH_PX, _ROW_PX, _MARGIN_PX = 620, 24, 110
_LETTERS = 28
_STEP = 10.0  # scipy draws leaf number n at 5 + 10 n


def dendrogram_plot(axis: SuggestedAxis) -> Markup:
    """Joins from left to right as high as they are, coloured by group, with the line at which the tree was cut."""
    leaves = len(axis.tree.classes)

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        _joins(axes, axis)
        _labels(axes, axis)
        low, high = axis.tree.span(len(axis.groups))
        axes.axvline((low + high) / 2, color=placeholder("quiet"), linestyle="--", linewidth=1)
        axes.text(
            (low + high) / 2, 1.0, f"{len(axis.groups)} groups", transform=axes.get_xaxis_transform(), ha="center",
            va="bottom", fontsize=SMALL_PX, color=placeholder("quiet"),
        )  # fmt: skip
        axes.set_xlabel(f"height of the join ({axis.method})")
        axes.set_xlim(0, axis.tree.heights[-1] * 1.04)
        axes.set_ylim(_STEP * leaves, 0)
        axes.spines["left"].set_visible(False)
        return _in_words(axis)

    return draw(
        f"dendrogram-{axis.name}", f"Tree of classes, {axis.name}", (_WIDTH_PX, _MARGIN_PX + _ROW_PX * leaves), paint
    )


def _joins(axes: Axes, axis: SuggestedAxis) -> None:
    from scipy.cluster.hierarchy import dendrogram

    drawn = dendrogram(axis.tree.merges, no_plot=True)
    cut = axis.tree.span(len(axis.groups))[0]
    colours = _colours(axis)
    for places, heights in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        # All leaves below a join at or under the cut are of one group: that of the nearest leaf tells its colour.
        leaf = drawn["leaves"][round((places[0] - _STEP / 2) // _STEP)]
        inside = heights[1] <= cut and places[0] != places[3]
        colour = colours[axis.tree.classes[leaf]] if inside else "axis"
        axes.plot(heights, places, color=placeholder(colour), linewidth=1.6)


def _labels(axes: Axes, axis: SuggestedAxis) -> None:
    names = [axis.tree.classes[leaf] for leaf in axis.tree.leaf_order]
    rows = [_STEP * (row + 0.5) for row in range(len(names))]
    axes.set_yticks(rows, [shortened(name, _LETTERS) for name in names])
    homes = {name: f"group_{number}" for number, group in enumerate(axis.groups, start=1) for name in group}
    colours = _colours(axis)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(placeholder(colours[name]))
    right = axes.secondary_yaxis("right")
    right.set_yticks(rows, [homes[name] for name in names], fontsize=SMALL_PX)
    right.spines["right"].set_visible(False)


def _colours(axis: SuggestedAxis) -> dict[str, str]:
    """The series colour of each class; neighbours in the drawing differ, since groups are numbered in its order."""
    order = [axis.tree.classes[leaf] for leaf in axis.tree.leaf_order]
    drawn = sorted(axis.groups, key=lambda group: min(order.index(name) for name in group))
    return {name: SERIES[number % len(SERIES)] for number, group in enumerate(drawn) for name in group}


def _in_words(axis: SuggestedAxis) -> str:
    groups = [f"group_{number}: {listed(group)}" for number, group in enumerate(axis.groups, start=1)]
    low, high = axis.tree.span(len(axis.groups))
    return f"Cut between the heights {low:.2f} and {high:.2f} into {len(groups)} groups. {'; '.join(groups)}"
