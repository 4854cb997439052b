"""Images of which the concepts are known and not the class: their labels, and when they can teach nothing.

A label below C is a class. Label C + r says: one of the C classes, of which no more is known than the concepts in row r
of `Dataset.unlabelled`. So each image keeps one number, and whoever takes that number for a class is out of range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.dataset import Dataset
from hkd_edge.data.listing import Entry, listed
from hkd_edge.errors import DataError
from hkd_edge_runtime.errors import did_you_mean
from hkd_edge_runtime.hierarchy import SILENT, Axis, Hierarchy

Concepts = Mapping[str, str]  # the concept by axis; axes of which nothing is known are left out
_Indices = NDArray[np.int64]


def number_labels(entries: Sequence[Entry], classes: Sequence[str]) -> tuple[_Indices, tuple[Concepts, ...]]:
    """The labels (N,) of `entries`, and the rows for those without a class, in an order of their own."""
    rows = sorted({_key(entry.concepts) for entry in entries if entry.label is None})
    numbers = {key: len(classes) + row for row, key in enumerate(rows)}
    labels = [numbers[_key(e.concepts)] if e.label is None else classes.index(e.label) for e in entries]
    return np.asarray(labels, np.int64), tuple(dict(row) for row in rows)


def _key(concepts: Concepts) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(concepts.items()))


def concept_indices(rows: Sequence[Concepts], hierarchy: Hierarchy) -> _Indices:
    """For each of R `rows` the index of its concept on every axis (R, axes), -1 where the row is silent.

    >>> kind = Axis("kind", ("shoes", "tops"), (1, 0))
    >>> concept_indices([{"kind": "tops"}, {"season": "winter"}], Hierarchy(("Coat", "Boot"), (kind,))).tolist()
    [[1], [-1]]

    Raises:
        ValueError: for a concept that its axis does not have; `refuse_useless` tells it before.
    """
    found = [[_index(axis, row) for axis in hierarchy.axes] for row in rows]
    return np.asarray(found, np.int64).reshape(len(rows), len(hierarchy.axes))


def _index(axis: Axis, row: Concepts) -> int:
    return axis.concepts.index(row[axis.name]) if axis.name in row else SILENT


def left_out_beside(held_out: _Indices, groups: _Indices, has_class: NDArray[np.bool_]) -> _Indices:
    """Indices of the images without a class that are of one group with an image `held_out`; sorted.

    They may be on neither side: not held out, since nothing says what answer would be right, and not trained on,
    since what is held out would be known by them. `groups` and `has_class` are (N,).
    """
    beside = np.isin(groups, groups[held_out])
    return np.flatnonzero(beside & ~has_class).astype(np.int64)


def counts_by_concepts(rows: Sequence[Concepts], labels: _Indices, classes: int) -> dict[str, int]:
    """How many of `labels` (N,), of which those from `classes` on have no class, are of each of `rows`."""
    counts = np.bincount(labels, minlength=classes + len(rows))[classes:].tolist()
    return {concepts_text(row): count for row, count in zip(rows, counts, strict=True)}


def concepts_text(concepts: Concepts) -> str:
    """`kind tops, sleeves long`, by the axes' names."""
    return ", ".join(f"{axis} {concept}" for axis, concept in sorted(concepts.items()))


def refuse_useless(dataset: Dataset, hierarchy: Hierarchy) -> None:
    """Does nothing if every image without a class is of concepts that `hierarchy` has, and one of them of some concept.

    Raises:
        DataError: with the concepts that no class has, or if the hierarchy speaks of none of these images.
    """
    if not dataset.unlabelled:
        return
    if problems := list(_unknown(dataset, hierarchy)):
        raise DataError(
            listed(f"{dataset.source}: expected images without a class to be of concepts with classes", problems, _GIVE)
        )
    if np.any(concept_indices(dataset.unlabelled, hierarchy) != SILENT):
        return
    axes = ", ".join(axis.name for axis in hierarchy.axes) or "none"
    count = int(np.sum(~dataset.has_class))
    raise DataError(
        f"{dataset.source}: expected images without a class to be of a concept on an axis of the hierarchy ({axes}), "
        f"got {count:,} that are of none, such as {_example(dataset, dataset.unlabelled[0])} "
        f"({concepts_text(dataset.unlabelled[0])}). They teach concepts and nothing else. An axis needs two concepts "
        "with classes: group the classes so, name a hierarchy that has these axes, or take the images out."
    )


_GIVE = "Give each concept a class with images that say so, mend its name, or take the images out."


def _unknown(dataset: Dataset, hierarchy: Hierarchy) -> Iterator[str]:
    """Each concept of the images without a class that its axis lacks, with an image."""
    axes = {axis.name: axis.concepts for axis in hierarchy.axes}
    told: set[tuple[str, str]] = set()
    for row in dataset.unlabelled:
        for name, concept in row.items():
            if name in axes and concept not in axes[name] and (name, concept) not in told:
                told.add((name, concept))
                near = did_you_mean(concept, axes[name])
                yield f"{_example(dataset, row)}: no class is in {concept!r} of {name}.{near}"


def _example(dataset: Dataset, row: Concepts) -> str:
    """The name of the first image of which just `row` is known."""
    label = len(dataset.classes) + dataset.unlabelled.index(row)
    index = int(np.flatnonzero(dataset.train.labels == label)[0])
    return dataset.origin.train_names[index] if dataset.origin else f"image {index}"
