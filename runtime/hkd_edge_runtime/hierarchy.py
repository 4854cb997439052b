"""Classes and the concepts that group them, as pure data with numpy memberships.

An *axis* is one way of grouping: each class has one concept on it, or none, and then the axis is *silent* on
the class. The *hierarchy* is all axes together; axes need not be nested, and there may be none at all.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from hkd_edge_runtime.errors import did_you_mean

if TYPE_CHECKING:
    import numpy.typing as npt

SILENT = -1


@dataclass(frozen=True)
class Axis:
    """One way of grouping the classes.

    Attributes:
        class_to_concept: for each class the index into `concepts`, or -1 where the axis is silent.

    Raises:
        ValueError: for a repeated or unprintable name, an index out of range, no concept at all,
            or a concept without a class.
    """

    name: str
    concepts: tuple[str, ...]
    class_to_concept: tuple[int, ...]

    def __post_init__(self) -> None:
        where = f"axis {self.name!r}"
        if not self.concepts:
            raise ValueError(f"{where}: expected at least one concept, got none.")
        _check_names(f"{where}: concept", self.concepts)
        used = set(self.class_to_concept) - {SILENT}
        outside = sorted(used - set(range(len(self.concepts))))
        if outside:
            raise ValueError(f"{where}: expected indices from -1 to {len(self.concepts) - 1}, got {outside}.")
        for index, concept in enumerate(self.concepts):
            if index not in used:
                raise ValueError(f"{where}: concept {concept!r} holds no class; remove it or give it one.")

    def membership(self) -> npt.NDArray[np.float32]:
        """(C, K_a) of 0 and 1: C classes, K_a concepts of this axis; a row of zeros where the axis is silent.

        >>> Axis("sleeves", ("long", "short"), (1, 0, -1)).membership().tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
        """
        indices = np.asarray(self.class_to_concept, dtype=np.int64).reshape(-1, 1)
        membership: npt.NDArray[np.bool_] = indices == np.arange(len(self.concepts))
        return membership.astype(np.float32)


@dataclass(frozen=True)
class Hierarchy:
    """The classes in the order of the model's outputs, and the axes over them.

    Raises:
        ValueError: for no class, repeated or unprintable names, or an axis of another number of classes.
    """

    classes: tuple[str, ...]
    axes: tuple[Axis, ...] = ()

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("classes: expected at least one class, got none.")
        _check_names("class", self.classes)
        _check_names("axis", tuple(axis.name for axis in self.axes))
        for axis in self.axes:
            if len(axis.class_to_concept) != len(self.classes):
                raise ValueError(
                    f"axis {axis.name!r}: expected one entry for each of {len(self.classes)} classes, "
                    f"got {len(axis.class_to_concept)}."
                )

    def membership(self) -> npt.NDArray[np.float32]:
        """(C, K) of 0 and 1: all axes side by side, K = sum of K_a; (C, 0) without axes."""
        empty = np.zeros((len(self.classes), 0), np.float32)
        return np.concatenate([empty, *(axis.membership() for axis in self.axes)], axis=1)

    def slices(self) -> tuple[slice, ...]:
        """For each axis its columns in `membership()` and in the concept probabilities of the model."""
        ends = [0, *accumulate(len(axis.concepts) for axis in self.axes)]
        return tuple(slice(start, end) for start, end in pairwise(ends))

    def silent_classes(self) -> dict[str, tuple[str, ...]]:
        """For each axis by name the classes of which it does not speak, in the order of `classes`."""
        return {
            axis.name: tuple(
                name for name, index in zip(self.classes, axis.class_to_concept, strict=True) if index == SILENT
            )
            for axis in self.axes
        }

    def to_dict(self) -> dict[str, object]:
        """`{"classes": [...], "axes": {axis: {concept: [class, ...]}}}`; the order of keys has meaning."""
        axes = {
            axis.name: {
                concept: [
                    name for name, index in zip(self.classes, axis.class_to_concept, strict=True) if index == number
                ]
                for number, concept in enumerate(axis.concepts)
            }
            for axis in self.axes
        }
        return {"classes": list(self.classes), "axes": axes}

    @classmethod
    def from_dict(cls, data: object) -> Hierarchy:
        """The hierarchy that `to_dict` wrote.

        Raises:
            ValueError: for wrong types, keys or names, a class in two concepts of an axis, and all that the
                constructor refuses.
        """
        mapping = _mapping("hierarchy", data)
        if set(mapping) != {"classes", "axes"}:
            raise ValueError(f"hierarchy: expected the keys 'classes' and 'axes', got {sorted(mapping)}.")
        # Without axes first, so that a wrong class is named as such and not as unknown to an axis.
        classes = cls(_strings("classes", mapping["classes"])).classes
        axes = _mapping("axes", mapping["axes"])
        return cls(classes, tuple(_axis(name, groups, classes) for name, groups in axes.items()))


def _axis(name: str, groups: object, classes: tuple[str, ...]) -> Axis:
    concepts = _mapping(f"axis {name!r}", groups)
    class_to_concept = [SILENT] * len(classes)
    for number, (concept, members) in enumerate(concepts.items()):
        where = f"axis {name!r}, concept {concept!r}"
        for member in _strings(where, members):
            if member not in classes:
                raise ValueError(f"{where}: unknown class {member!r}.{did_you_mean(member, classes)}")
            position = classes.index(member)
            if class_to_concept[position] != SILENT:
                raise ValueError(f"{where}: class {member!r} is listed twice on this axis.")
            class_to_concept[position] = number
    return Axis(name, tuple(concepts), tuple(class_to_concept))


def _check_names(what: str, names: Sequence[str]) -> None:
    for position, name in enumerate(names):
        # Control characters could steer a terminal, and lone surrogates cannot be written as UTF-8.
        if not name or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise ValueError(f"{what}: expected printable names, got {name!r}.")
        if name in names[:position]:
            raise ValueError(f"{what}: expected unique names, got {name!r} twice.")


def _mapping(what: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{what}: expected a mapping with text keys, got {type(value).__name__}.")
    return value


def _strings(what: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{what}: expected a list of texts, got {value!r}.")
    return tuple(value)
