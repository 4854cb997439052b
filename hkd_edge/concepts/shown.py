"""A hierarchy for people: a tree on a terminal, plain indented text elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text
from rich.tree import Tree

from hkd_edge.recipe.located_yaml import printable
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

_SILENT = "(silent)"


def plain(hierarchy: Hierarchy) -> str:
    """Axis, concept and classes on lines of their own; the same hierarchy gives the same text."""
    return "\n".join(f"{'  ' * depth}{text}" for depth, text in _lines(hierarchy))


def tree(hierarchy: Hierarchy, title: str) -> Tree:
    """The same as a tree for rich."""
    root = Tree(Text(title, "bold"), guide_style="dim")
    branches = {-1: root}
    for depth, text in _lines(hierarchy):
        style = "dim" if text == _SILENT else ("bold cyan", "cyan", "")[depth]
        branches[depth] = branches[depth - 1].add(Text(text, style))
    return root


def _lines(hierarchy: Hierarchy) -> Iterator[tuple[int, str]]:
    """Each line with its depth: 0 axis, 1 concept, 2 class."""
    if not hierarchy.axes:
        yield 0, "(no axes)"
        yield from ((1, printable(name)) for name in hierarchy.classes)
    for axis in hierarchy.axes:
        yield 0, printable(axis.name)
        yield from _concepts(hierarchy, axis)


def _concepts(hierarchy: Hierarchy, axis: Axis) -> Iterator[tuple[int, str]]:
    for number, concept in enumerate((*axis.concepts, _SILENT)):
        index = number if number < len(axis.concepts) else -1
        members = [name for name, at in zip(hierarchy.classes, axis.class_to_concept, strict=True) if at == index]
        if members:
            yield 1, printable(concept)
            yield from ((2, printable(name)) for name in members)
