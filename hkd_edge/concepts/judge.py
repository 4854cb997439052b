"""What a hierarchy that is consistent is worth: what it gives away, and what in it says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from sklearn.metrics import adjusted_mutual_info_score

from hkd_edge.concepts.measure import measure
from hkd_edge.recipe.located_yaml import printable
from hkd_edge_runtime.hierarchy import SILENT, Axis, Hierarchy

# Axes that agree this well differ in a class or two only: of 10 classes in two groups, one moved leaves about 0.5.
_REPEATED = 0.9
_MOST_LISTED = 12


@dataclass(frozen=True)
class Judgement:
    """One finding. A warning is a thing to mend or to know before a result is believed, a note is for information."""

    kind: Literal["warning", "note"]
    text: str


def judge(hierarchy: Hierarchy) -> list[Judgement]:
    """All findings, warnings first; where they speak of knowledge, all classes are taken for equally frequent."""
    found = [*_of_everything(hierarchy), *_of_axes(hierarchy), *_of_pairs(hierarchy), *_of_silence(hierarchy)]
    return sorted(found, key=lambda judgement: judgement.kind != "warning")


def agreement(first: Axis, second: Axis) -> float:
    """How far two axes are one: their adjusted mutual information, 1 for the same groups, about 0 for chance.

    Silence counts as a group. Source: N. Vinh, J. Epps, J. Bailey, JMLR 11 (2010), 2837-2854; by scikit-learn.
    """
    return float(adjusted_mutual_info_score(first.class_to_concept, second.class_to_concept))


def _of_everything(hierarchy: Hierarchy) -> Iterator[Judgement]:
    found = measure(hierarchy)
    known = f"H(class | concepts) = {found.entropy_bits:.2f} of {found.prior_entropy_bits:.2f} bits"
    if not found.groups:
        yield Judgement(
            "warning",
            f"{known}: the concepts together spell out every class. A teacher that learns them has seen the class "
            "labels in disguise; a gain over a budgeted task teacher says nothing then.",
        )
        return
    yield Judgement(
        "note",
        f"{known}; {found.undistinguished_count} of {found.class_count} classes share all their concepts with another",
    )
    for group in found.groups:
        yield Judgement("note", f"not told apart: {_listed(group)}")


def _of_axes(hierarchy: Hierarchy) -> Iterator[Judgement]:
    """Axes, and their concepts, that tell no classes apart that the others do not."""
    for axis in hierarchy.axes:
        name = printable(axis.name)
        others = Hierarchy(hierarchy.classes, tuple(each for each in hierarchy.axes if each is not axis))
        if others.axes and measure(others).groups == measure(hierarchy).groups:
            yield Judgement("warning", f"{name}: separates no two classes that the other axes do not; leave it out?")
        alone = [printable(concept) for concept, members in _members(hierarchy, axis).items() if len(members) == 1]
        if len(alone) == len(axis.concepts):
            yield Judgement(
                "warning", f"{name}: each concept holds one class alone; its teacher learns classes, not concepts."
            )
        elif alone:
            yield Judgement("note", f"{name}: one class alone in {_listed(alone)}; there the concept is the class")


def _of_pairs(hierarchy: Hierarchy) -> Iterator[Judgement]:
    for first, second in combinations(hierarchy.axes, 2):
        both, score = f"{printable(first.name)} and {printable(second.name)}", agreement(first, second)
        if score >= _REPEATED:
            yield Judgement("warning", f"{both} repeat each other: adjusted mutual information {score:.2f} of 1.")
        else:
            yield Judgement("note", f"{both}: adjusted mutual information {score:.2f} (0 = by chance, 1 = the same)")
        ours, theirs = (_members(hierarchy, axis) for axis in (first, second))
        for concept, members in ours.items():
            for other, same in theirs.items():
                if members == same and score < _REPEATED:
                    pair = f"{printable(concept)} of {printable(first.name)} and {printable(other)} of"
                    yield Judgement("warning", f"{pair} {printable(second.name)} hold the same classes.")


def _of_silence(hierarchy: Hierarchy) -> Iterator[Judgement]:
    silent = hierarchy.silent_classes()
    nowhere = [name for name in hierarchy.classes if all(name in names for names in silent.values())]
    if nowhere:
        yield Judgement("warning", f"no axis speaks of {_listed(nowhere)}: the concept teacher says nothing of them.")
    for name, classes in silent.items():
        if classes:
            yield Judgement("note", f"{printable(name)} is silent on {_listed(classes)}")


def _members(hierarchy: Hierarchy, axis: Axis) -> dict[str, tuple[str, ...]]:
    pairs = [(name, index) for name, index in zip(hierarchy.classes, axis.class_to_concept, strict=True)]
    return {
        concept: tuple(name for name, index in pairs if index == number and index != SILENT)
        for number, concept in enumerate(axis.concepts)
    }


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(map(printable, names[:_MOST_LISTED])) + (f" and {more} more" if more > 0 else "")
