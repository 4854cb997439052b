"""Which training images have a fine label, where a recipe hides the labels of some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hkd_edge.errors import DataError
from hkd_edge_runtime.errors import did_you_mean


def labelled_images(labels: NDArray[np.int64], fraction: float, hidden: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Sorted indices into `labels` (N,) of the images that keep their label: `fraction` of each class, drawn by `seed`.

    Of each class at least one is kept, but none of the classes `hidden`. By one seed a smaller fraction is part of a
    larger one.

    >>> labelled_images(np.array([0, 0, 1, 1, 2, 2]), 0.5, [2], seed=0).size
    2
    """
    generator = np.random.default_rng(seed)
    kept = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        if label not in hidden:
            kept.append(members[: max(1, round(len(members) * fraction))])
    return np.sort(np.concatenate(kept)).astype(np.int64)


def class_indices(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The places of `names` among `classes`.

    Raises:
        DataError: if one is no class, or if they are all of them.
    """
    for name in names:
        if name not in classes:
            near = did_you_mean(name, classes)
            raise DataError(
                f"recipe.data.unlabelled_classes: expected names of classes, got {name!r}.{near} "
                f"Classes: {', '.join(classes)}."
            )
    if set(names) == set(classes):
        raise DataError("recipe.data.unlabelled_classes: expected a class with labels, got all of them. Leave one out.")
    return [classes.index(name) for name in names]
