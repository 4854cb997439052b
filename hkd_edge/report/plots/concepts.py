"""Classes and their concepts: the hierarchy, and which classes are taken for which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from markupsafe import Markup

from hkd_edge.report.findings import Confusion, class_order, concept_names, runs_of
from hkd_edge.report.page import NOTHING
from hkd_edge.report.svg import SMALL_PX, draw
from hkd_edge.report.theme import SERIES, placeholder
from hkd_edge.report.wording import shortened
from hkd_edge_runtime.hierarchy import Hierarchy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_PX, _ROW_PX = 400, 24
_LETTERS = 22
_LABELS_PX = 65  # how much more room the names left and right of the matrix take than those below
_GAP = 0.06
_SILENT = NOTHING
_COUNTED_CLASSES = 20  # with more of them a cell has no room for its count
# What is counted is written over the cell's colour: more of it would make the text too faint in one of the themes.
DIAGONAL_OPACITY = (0.08, 0.45)
MISTAKE_OPACITY = (0.12, 0.5)
_FULL_SHARE = 0.25  # of a class's images taken for another: the strongest colour


def hierarchy_plot(hierarchy: Hierarchy) -> Markup:
    """A column of blocks for each axis and one for the classes, each class on its row."""
    order = class_order(hierarchy)

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        for column, axis in enumerate(hierarchy.axes):
            names = concept_names(hierarchy, column, order, _SILENT)
            _blocks(
                axes,
                column,
                names,
                [SERIES[axis.concepts.index(name) % len(SERIES)] if name != _SILENT else "" for name in names],
            )
        _blocks(axes, len(hierarchy.axes), [hierarchy.classes[index] for index in order], [""] * len(order))
        headers = [*(axis.name for axis in hierarchy.axes), "class"]
        axes.set_xticks([place + 0.5 for place in range(len(headers))], [shortened(each, _LETTERS) for each in headers])
        axes.xaxis.tick_top()
        axes.set_xlim(0, len(headers))
        axes.set_ylim(len(order), 0)
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        return "; ".join(_axes_in_words(hierarchy))

    width = max(_WIDTH_PX, 130 * (len(hierarchy.axes) + 1))
    return draw("hierarchy", "Hierarchy of concepts", (width, 40 + _ROW_PX * len(order)), paint)


def confusion_plot(found: Confusion) -> Markup:
    """A cell for each pair of classes, with lines between concepts."""
    classes = len(found.classes)
    side = max(_WIDTH_PX, 90 + (26 if classes <= _COUNTED_CLASSES else 14) * classes)

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        for row, counts in enumerate(found.counts):
            for column, count in enumerate(counts):
                if count:
                    _cell(axes, row, column, count, count / sum(counts), counted=classes <= _COUNTED_CLASSES)
        names = [shortened(name, _LETTERS) for name in found.classes]
        size = SMALL_PX if classes <= _COUNTED_CLASSES else SMALL_PX - 2
        axes.set_yticks(range(classes), names, fontsize=size)
        axes.set_xticks(range(classes), names, fontsize=size, rotation=90)
        axes.set_xlabel("answer")
        axes.set_ylabel("label")
        axes.set_xlim(-0.5, classes - 0.5)
        axes.set_ylim(classes - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.spines[:].set_visible(True)
        _borders(axes, found)
        return _confusion_in_words(found)

    return draw("confusion", f"Confusion matrix of {found.subject}", (side, side - _LABELS_PX), paint)


def cell_opacity(share: float, *, right: bool) -> float:
    """How strongly a cell is coloured that holds this share of its class's images."""
    least, most = DIAGONAL_OPACITY if right else MISTAKE_OPACITY
    return least + (most - least) * (share if right else min(1.0, share / _FULL_SHARE))


def _cell(axes: Axes, row: int, column: int, count: int, share: float, *, counted: bool) -> None:
    from matplotlib.patches import Rectangle

    right = row == column
    colour = placeholder("series-1" if right else "series-2")
    opacity = cell_opacity(share, right=right)
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=opacity, linewidth=0))
    if counted:
        weight = "bold" if right else "normal"
        axes.text(column, row, f"{count}", ha="center", va="center", fontsize=SMALL_PX, fontweight=weight)


def _borders(axes: Axes, found: Confusion) -> None:
    """Lines between the concepts, whose names stand to the right."""
    end, middles = 0, []
    for _, length in found.blocks:
        middles.append(end + (length - 1) / 2)
        end += length
        if end < len(found.classes):
            for line in (axes.axhline, axes.axvline):
                line(end - 0.5, color=placeholder("axis"), linewidth=1)
    if found.blocks:
        names = axes.secondary_yaxis("right")
        names.set_yticks(middles, [shortened(name, _LETTERS) for name, _ in found.blocks], fontsize=SMALL_PX)


def _confusion_in_words(found: Confusion) -> str:
    right = sum(row[index] for index, row in enumerate(found.counts))
    pairs = [
        (count, found.classes[row], found.classes[column])
        for row, counts in enumerate(found.counts)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    worst = [f"{label} taken for {answer} {count} times" for count, label, answer in sorted(pairs, reverse=True)[:5]]
    images = sum(map(sum, found.counts))
    return f"{right} of {images} right. Most frequent mistakes: {'; '.join(worst) or 'none'}"


def _blocks(axes: Axes, column: int, names: list[str], colours: list[str]) -> None:
    """A block for each run of equal names; one without a colour is plain text."""
    from matplotlib.patches import Rectangle

    start = 0
    for name, length in runs_of(names):
        if colours[start]:
            place, extent = (column + _GAP / 2, start + _GAP), (1 - _GAP, length - 2 * _GAP)
            colour = placeholder(colours[start])
            axes.add_patch(Rectangle(place, *extent, facecolor=colour, alpha=0.22, linewidth=0))
            axes.add_patch(Rectangle(place, 0.03, extent[1], facecolor=colour, linewidth=0))
        tone = placeholder("quiet" if name == _SILENT else "ink")
        axes.text(column + 0.5, start + length / 2, shortened(name, _LETTERS), ha="center", va="center", color=tone)
        start += length


def _axes_in_words(hierarchy: Hierarchy) -> Iterator[str]:
    if not hierarchy.axes:
        yield f"no axes over the classes {', '.join(hierarchy.classes)}"
    for axis in hierarchy.axes:
        classes = zip(hierarchy.classes, axis.class_to_concept, strict=True)
        members: dict[int, list[str]] = {}
        for name, concept in classes:
            members.setdefault(concept, []).append(name)
        told = [f"{concept} ({', '.join(members[index])})" for index, concept in enumerate(axis.concepts)]
        yield f"{axis.name}: {', '.join(told)}"
