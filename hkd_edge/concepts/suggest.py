"""Groups of classes that a network takes for each other: a hierarchy to start from, never one to trust unread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hkd_edge.concepts.cluster import Tree, stable_count, tree_of_distances, tree_of_vectors
from hkd_edge.concepts.distances import Floats, confusion_distances, without_groups
from hkd_edge.errors import HierarchyError
from hkd_edge_runtime.hierarchy import SILENT, Axis, Hierarchy

Basis = Literal["confusions", "embeddings"]
_FEWEST_CLASSES = 3  # of two classes each group would be a class


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of C classes.

    Attributes:
        confusions: (C, C), row i the mean probabilities given to the images of class i.
        embeddings: (C, D), the mean embedding of each class.
        source: whose answers to which images these are, in words.
        cautions: what weakens them.
    """

    classes: tuple[str, ...]
    confusions: Floats
    embeddings: Floats
    source: str
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class SuggestedAxis:
    """One axis.

    Attributes:
        groups: in the order of the classes; classes in none are those of which the axis does not speak.
        tree: what was cut.
        method: how the tree was grown, in words.
        chosen: whether the number of groups was found (True) or asked for.
    """

    name: str
    groups: tuple[tuple[str, ...], ...]
    tree: Tree
    method: str
    chosen: bool


@dataclass(frozen=True, eq=False)
class Suggestion:
    """All axes, what they come from, and what is to be known about them."""

    evidence: Evidence
    axes: tuple[SuggestedAxis, ...]
    cautions: tuple[str, ...] = ()

    @property
    def hierarchy(self) -> Hierarchy:
        """As it is written into a file."""
        return Hierarchy(self.evidence.classes, tuple(_axis(each, self.evidence.classes) for each in self.axes))


def suggest(
    evidence: Evidence, axes: int = 1, groups: Sequence[int | None] = (), by: Basis = "confusions"
) -> Suggestion:
    """`axes` (or fewer, with the reason in `cautions`) ways of grouping the classes.

    The first axis comes from confusions (average linkage) or embeddings (Ward's); each further one from what the
    earlier ones leave of the embeddings, and speaks of those classes that were not alone in their group.

    Args:
        groups: how many on each axis, 2 to one less than its classes; None, and for axes beyond these: `stable_count`.

    Raises:
        HierarchyError: if there are fewer than 3 classes, if all lie equally far apart, or if there cannot be so many
            groups.
    """
    wanted = [*groups, *([None] * axes)][:axes]
    ordered = _by_name(evidence)
    found = [_first_axis(ordered, wanted[0], by, evidence.classes)]
    left: Floats = ordered.embeddings
    for number, count in enumerate(wanted[1:], start=2):
        left = without_groups(left, _axis(found[-1], ordered.classes).class_to_concept)
        spoken = np.flatnonzero(left.any(axis=1))
        names = [ordered.classes[index] for index in spoken]
        if reason := _nothing_left(names, left[spoken]):
            stop = f"{number - 1} of {axes} axes: {reason}"
            return Suggestion(evidence, tuple(found), (*evidence.cautions, stop))
        method = "what earlier axes leave of the mean embeddings, Ward's linkage"
        found.append(_cut(f"axis_{number}", tree_of_vectors(names, left[spoken]), method, count, evidence.classes))
    return Suggestion(evidence, tuple(found), evidence.cautions)


def _by_name(evidence: Evidence) -> Evidence:
    """The same with the classes sorted, so that rounding, too, does not depend on the order in which they came."""
    order = sorted(range(len(evidence.classes)), key=evidence.classes.__getitem__)
    return replace(
        evidence,
        classes=tuple(evidence.classes[index] for index in order),
        confusions=evidence.confusions[np.ix_(order, order)],
        embeddings=evidence.embeddings[order],
    )


def _first_axis(evidence: Evidence, count: int | None, by: Basis, order: Sequence[str]) -> SuggestedAxis:
    classes = evidence.classes
    if len(classes) < _FEWEST_CLASSES:
        raise HierarchyError(
            f"expected at least {_FEWEST_CLASSES} classes to group, got {len(classes)}: a concept would be a class."
        )
    if by == "confusions":
        tree, method = tree_of_distances(classes, confusion_distances(evidence.confusions)), "average linkage"
    else:
        tree, method = tree_of_vectors(classes, evidence.embeddings), "Ward's linkage"
    if tree.is_flat:
        other = "embeddings" if by == "confusions" else "confusions"
        raise HierarchyError(
            f"expected classes of which some are nearer than others, got {len(classes)} that lie equally far apart by "
            f"{by}. Try --by {other}, or group them by what you know."
        )
    return _cut("axis_1", tree, f"{by}, {method}", count, order)


def _nothing_left(names: Sequence[str], vectors: Floats) -> str:
    """Why there is no further axis over these classes; empty if there is one."""
    if len(names) < _FEWEST_CLASSES:
        return f"only {len(names)} classes share a group, and at least {_FEWEST_CLASSES} are needed for a further axis."
    if tree_of_vectors(names, vectors).is_flat:
        return "inside their groups all classes lie equally far apart."
    return ""


def _cut(name: str, tree: Tree, method: str, count: int | None, order: Sequence[str]) -> SuggestedAxis:
    """The axis of the tree cut into `count` groups; groups and their members stand in this order of the classes."""
    most = len(tree.classes) - 1
    if count is not None and not 2 <= count <= most:
        raise HierarchyError(f"{name}: expected 2 to {most} groups for {most + 1} classes, got {count}.")
    groups = tree.groups(stable_count(tree) if count is None else count)
    places = {each: index for index, each in enumerate(order)}
    in_order = sorted((sorted(group, key=places.__getitem__) for group in groups), key=lambda group: places[group[0]])
    return SuggestedAxis(name, tuple(map(tuple, in_order)), tree, method, count is None)


def _axis(axis: SuggestedAxis, classes: Sequence[str]) -> Axis:
    homes = {name: number for number, group in enumerate(axis.groups) for name in group}
    concepts = tuple(f"group_{number}" for number in range(1, len(axis.groups) + 1))
    return Axis(axis.name, concepts, tuple(homes.get(name, SILENT) for name in classes))
