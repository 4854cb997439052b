"""A tree of classes drawn in text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hkd_edge.concepts.cluster import Tree
from hkd_edge.recipe.located_yaml import printable

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = {
    0: " ",
    _LEFT: "─",
    _RIGHT: "─",
    _LEFT | _RIGHT: "─",
    _UP | _DOWN: "│",
    _LEFT | _DOWN: "┐",
    _LEFT | _UP: "┘",
    _RIGHT | _DOWN: "┌",
    _RIGHT | _UP: "└",
    _LEFT | _RIGHT | _DOWN: "┬",
    _LEFT | _RIGHT | _UP: "┴",
    _UP | _DOWN | _LEFT: "┤",
    _UP | _DOWN | _RIGHT: "├",
    _UP | _DOWN | _LEFT | _RIGHT: "┼",
}
_WIDTH = 48  # columns for the joins


def draw_text(tree: Tree, groups: Sequence[Sequence[str]]) -> str:
    """A line for each class with its group, nearest classes side by side; joins lie as far right as they are high.

    The last line is the scale, from 0 to the height of the last join.
    """
    homes = {name: f"group_{number}" for number, group in enumerate(groups, start=1) for name in group}
    names = [tree.classes[leaf] for leaf in tree.leaf_order]
    group_width = max(map(len, homes.values()))
    name_width = max(len(printable(name)) for name in names)
    lines = [
        f"{homes[name]:<{group_width}}  {printable(name):<{name_width}} {drawn}".rstrip()
        for name, drawn in zip(names, _joins(tree), strict=True)
    ]
    highest = f"{tree.heights[-1]:.2f}"
    scale = f"{'0':<{_WIDTH - len(highest)}}{highest}"
    return "\n".join([*lines, " " * (group_width + name_width + 3) + scale])


def _joins(tree: Tree) -> list[str]:
    rows, columns = _places(tree)
    leaves = len(tree.classes)
    canvas = [[0] * _WIDTH for _ in range(leaves)]
    for step, (one, other) in enumerate(tree.merges[:, :2].astype(int).tolist()):
        column = columns[leaves + step]
        for child in (one, other):
            _across(canvas[rows[child]], columns[child], column)
        top, bottom = sorted((rows[one], rows[other]))
        for row in range(top, bottom):
            canvas[row][column] |= _DOWN
            canvas[row + 1][column] |= _UP
    return ["".join(_LINES[cell] for cell in row) for row in canvas]


def _across(row: list[int], start: int, end: int) -> None:
    for column in range(start, end):
        row[column] |= _RIGHT
        row[column + 1] |= _LEFT


def _places(tree: Tree) -> tuple[Mapping[int, int], Mapping[int, int]]:
    """The row and the column of each node: leaves have rows of their own, a join lies between its two."""
    leaves, highest = len(tree.classes), tree.heights[-1]
    rows = {leaf: row for row, leaf in enumerate(tree.leaf_order)}
    columns = dict.fromkeys(range(leaves), 0)
    for step, (one, other, height, _) in enumerate(tree.merges.tolist()):
        rows[leaves + step] = (rows[int(one)] + rows[int(other)]) // 2
        # Never in the leaves' own column: what is joined at no height is still seen to be joined.
        columns[leaves + step] = max(1, round((_WIDTH - 1) * height / highest)) if highest > 0 else _WIDTH - 1
    return rows, columns
