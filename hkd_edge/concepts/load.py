"""Reads a hierarchy and finds everything that is inconsistent in it.

axes:
  kind: {tops: [Coat, Shirt], footwear: [Sandal, Sneaker]}
  sleeves: {long: [Coat], short: [Shirt]}     # silent on the other classes
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hkd_edge.errors import HierarchyError
from hkd_edge.recipe.located_yaml import Document, Keys, Problem, dotted, read_document, report
from hkd_edge.recipe.problems import shown
from hkd_edge_runtime.errors import did_you_mean
from hkd_edge_runtime.hierarchy import Hierarchy

_ROOT = "hierarchy"
_AXES = "axes"
_MOST_LISTED = 20  # classes that a message lists
_Finding = tuple[Keys, str]


def load_hierarchy(path: Path, classes: Sequence[str]) -> Hierarchy:
    """The hierarchy in the YAML file at `path` over `classes`, in the order of the student's logits.

    A class that an axis does not name is one on which it is silent.

    Raises:
        HierarchyError: if it is missing or unreadable, or else with all that is wrong in it, line by line.
        ValueError: if `classes` are none, or repeat a name.
    """
    document = read_document(path, root=_ROOT, noun="hierarchy", error=HierarchyError)
    problems = [*document.problems, *_problems(document, classes)]
    if problems:
        raise HierarchyError(report(problems))
    return Hierarchy.from_dict({"classes": list(classes), **document.value})


def classes_named_in(path: Path) -> tuple[str, ...]:
    """The classes that the hierarchy at `path` names, each once, in the order of the file; whether it is sound or not.

    Raises:
        HierarchyError: if it is missing or unreadable.
    """
    value = read_document(path, root=_ROOT, noun="hierarchy", error=HierarchyError).value
    axes = value.get(_AXES) if isinstance(value, dict) else None
    concepts = [axis for axis in axes.values() if isinstance(axis, dict)] if isinstance(axes, dict) else []
    return tuple(dict.fromkeys(name for axis in concepts for members in axis.values() for name in _texts(members)))


def _problems(document: Document, classes: Sequence[str]) -> Iterator[Problem]:
    for keys, text in _check(document.value, classes):
        yield Problem(document.place_of(keys), dotted(_ROOT, keys), text)


def _check(value: Any, classes: Sequence[str]) -> Iterator[_Finding]:
    if not isinstance(value, dict):
        yield (), f"expected a section with the key {_AXES}, got {shown(value)}."
        return
    for key in value:
        if key != _AXES:
            yield (key,), f"unknown key.{did_you_mean(key, [_AXES])} Valid keys: {_AXES}."
    axes = value.get(_AXES)
    if isinstance(axes, dict) and axes:
        for name, concepts in axes.items():
            yield from _check_axis((_AXES, name), concepts, classes)
    else:
        got = shown(axes) if _AXES in value else "no such key"
        yield (_AXES,), f"expected at least one axis, such as kind: {{a: [...], b: [...]}}, got {got}."


def _check_axis(axis: Keys, concepts: Any, classes: Sequence[str]) -> Iterator[_Finding]:
    yield from _check_name(axis)
    if not isinstance(concepts, dict):
        yield axis, f"expected concepts, each with a list of its classes, got {shown(concepts)}."
        return
    if len(concepts) < 2:
        yield axis, f"expected at least 2 concepts, got {len(concepts)}: one alone tells no classes apart."
    homes: dict[str, str] = {}
    for concept, members in concepts.items():
        yield from _check_name((*axis, concept))
        yield from _check_concept((*axis, concept), members, classes, homes)
        homes.update({member: concept for member in _texts(members) if member not in homes})


def _check_concept(concept: Keys, members: Any, classes: Sequence[str], homes: Mapping[str, str]) -> Iterator[_Finding]:
    """`homes` has the concept of each class that was read before this concept."""
    if not isinstance(members, list) or not members:
        yield concept, f"expected a list of at least one class, got {shown(members)}."
        return
    for index, member in enumerate(members):
        keys = (*concept, index)
        if not isinstance(member, str):
            hint = " Write it in quotes." if isinstance(member, int | float) else ""
            yield keys, f"expected the name of a class, got {shown(member)}.{hint}"
        elif member not in classes:
            yield (
                keys,
                f"unknown class {member!r}.{did_you_mean(member, classes)} Classes: {_listed(classes)}.",
            )
        elif member in homes or member in members[:index]:
            home = homes.get(member, concept[-1])
            yield (
                keys,
                f"expected each class in one concept of an axis, got {member!r}, which is in {home!r} too.",
            )


def _check_name(keys: Keys) -> Iterator[_Finding]:
    name = str(keys[-1])
    if not name or not name.isprintable():
        yield keys, f"expected a name that can be printed, got {name!r}."


def _texts(members: Any) -> list[str]:
    return [member for member in members if isinstance(member, str)] if isinstance(members, list) else []


def _listed(classes: Sequence[str]) -> str:
    more = len(classes) - _MOST_LISTED
    return ", ".join(classes[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
