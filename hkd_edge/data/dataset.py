"""What a labelled set of images is, and the stratified split that holds validation images out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.stored import Pixels, in_batches, pixels_at
from hkd_edge.errors import DataError
from hkd_edge_runtime.hierarchy import Hierarchy

if TYPE_CHECKING:
    from hkd_edge.data.findings import Findings


@dataclass(frozen=True)
class ImageSet:
    """Images uint8 (N, H, W, C) and their labels int64 (N,), indices into the classes of the data set.

    Training images may have labels beyond the classes, see `Dataset.unlabelled`.
    """

    images: Pixels
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> ImageSet:
        """The images at `indices` (M,): copied, or where they are if they are stored."""
        return ImageSet(pixels_at(self.images, indices), self.labels[indices])


@dataclass(frozen=True)
class Origin:
    """What only the user's own images come with.

    Attributes:
        train_names, test_names: what each image is called there.
        groups: (N,) of the training images; images of one group stay on one side of a split.
        left_out: indices of the training images without a class that are of one group with a test image, sorted.
        held_out: indices of the training images that the source itself holds out for validation, sorted; or None.
        hierarchy: the concepts that the source groups the classes by; without axes if it does not.
        notes: what a person should know, a line each.
    """

    train_names: tuple[str, ...]
    test_names: tuple[str, ...]
    groups: NDArray[np.int64]
    left_out: NDArray[np.int64]
    held_out: NDArray[np.int64] | None
    hierarchy: Hierarchy
    findings: Findings
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """A labelled data set as its source gives it: training images (not yet split) and test images.

    `fingerprint` is a SHA-256 over the content, `source` says in words where it came from.

    A training image of label C + r, C being the number of `classes`, is of no known class: row r of `unlabelled` has
    its concept by axis, for the axes of which it is known.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet
    source: str
    fingerprint: str
    origin: Origin | None = None
    unlabelled: tuple[Mapping[str, str], ...] = ()

    @property
    def has_class(self) -> NDArray[np.bool_]:
        """(N,) of the training images: whether their class is known."""
        known: NDArray[np.bool_] = self.train.labels < len(self.classes)
        return known


@dataclass(frozen=True)
class Split:
    """Indices into the training images: those trained on and those held out for validation, both sorted.

    Images without a class may be in neither, see `unlabelled.left_out_beside`.
    `labelled` are positions in `train` of the images whose fine label may be used, sorted; None = of all.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    labelled: NDArray[np.int64] | None = None


def stratified_split(labels: NDArray[np.int64], validation_fraction: float, seed: int) -> Split:
    """Holds `validation_fraction` of each class out, at least one image each; the same for the same seed.

    Raises:
        DataError: if a class has fewer than two images, so that it cannot stand on both sides.
    """
    generator = np.random.default_rng(seed)
    held_out = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(
                f"expected at least 2 training images of every class, got {len(members)} of class {label}. "
                "Add images of it or leave the class out."
            )
        count = min(max(1, round(len(members) * validation_fraction)), len(members) - 1)
        held_out.append(generator.permutation(members)[:count])
    validation = np.sort(np.concatenate(held_out))
    train = np.setdiff1d(np.arange(len(labels)), validation)
    return Split(train.astype(np.int64), validation.astype(np.int64))


def pixel_statistics(images: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of `images` (N, H, W, C), of pixels scaled to 0..1.

    A channel without any variation gets a deviation of 1, so that it can be divided by.
    """
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for batch in in_batches(images):
        counts += [np.bincount(batch[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
    levels = np.arange(256) / 255.0
    means = [float((count * levels).sum() / count.sum()) for count in counts]
    variances = [
        float((count * (levels - mean) ** 2).sum() / count.sum()) for count, mean in zip(counts, means, strict=True)
    ]
    return tuple(means), tuple(v**0.5 if v > 0 else 1.0 for v in variances)


def class_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """N / (C * n) for each of C `classes`, n of the N `labels` being of it: all classes then weigh the same together.

    >>> class_weights(np.array([0, 0, 0, 0, 0, 1]), 2).tolist()
    [0.6000000238418579, 3.0]

    A class without images weighs 0. The same as scikit-learn's `compute_class_weight("balanced", ...)`.
    """
    counts = np.bincount(labels, minlength=classes)
    weights = np.divide(len(labels), classes * counts, out=np.zeros(classes), where=counts > 0)
    return weights.astype(np.float32)


def class_balanced(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Indices (count or fewer,) with as many of each class as there are, drawn by `seed`; sorted.

    Classes take turns until `count` are drawn or the images are used up; a label beyond the classes takes turns too.
    """
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    rounds = max((len(members) for members in shuffled), default=0)
    turns = [members[turn] for turn in range(rounds) for members in shuffled if turn < len(members)]
    return np.sort(np.asarray(turns[:count], dtype=np.int64))
