"""What can be told of the classes of a folder before anything is trained: which look alike from afar.

A linear classifier on colours and edges, asked about images that it has not seen. It is weak, and says how weak.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from hkd_edge.concepts.distances import Floats, class_means
from hkd_edge.concepts.suggest import Evidence
from hkd_edge.data.dataset import class_balanced
from hkd_edge.errors import DataError
from hkd_edge.evaluate.statistics import wilson_interval
from hkd_edge.grouping.folder import class_files
from hkd_edge_runtime.errors import InputError
from hkd_edge_runtime.manifest import InputSpec
from hkd_edge_runtime.preprocess import read_image

_SIDE, _CELLS = 32, 4  # pixels; cells a side
_DIRECTIONS, _LEVELS = 8, 4  # bins of edges by direction, and of each colour
_MOST_OF_CLASS, _MOST_IMAGES = 200, 10_000  # more take time and change little in so simple a classifier
_FOLDS = 5
_MOST_UNREADABLE = 0.1
_SEED = 0


def evidence_of_folder(folder: Path) -> Evidence:
    """Soft confusions of the linear classifier by cross-validation, and the mean features of each class.

    Raises:
        DataError: if there are no two classes of two images that can be read each, more than a tenth cannot, or the
            classifier is no better than chance.
    """
    files = class_files(folder)
    classes = tuple(files)
    paths, labels = _drawn(files)
    features, read, broken = _features_of(paths)
    labels = labels[read]
    _check(folder, classes, labels, len(paths), broken)
    scaled = StandardScaler().fit_transform(features)
    probabilities = _out_of_fold(scaled, labels)
    right = int((probabilities.argmax(axis=1) == labels).sum())
    chance = 100 * np.bincount(labels).max() / len(labels)
    if wilson_interval(right, len(labels)).low <= chance:
        raise DataError(
            f"{folder}: expected classes that colours and edges tell apart better than chance ({chance:.1f} %), got "
            f"{100 * right / len(labels):.1f} % right of {len(labels)} images. Train first, and give the run: "
            "hkd-edge concepts suggest RUN"
        )
    return Evidence(
        classes,
        class_means(probabilities, labels, len(classes)),
        class_means(scaled, labels, len(classes)),
        f"what a linear classifier on colours and edges says of {len(labels):,} images of {folder.name} that it was "
        f"not fitted to ({_FOLDS}-fold; {100 * right / len(labels):.1f} % right, {chance:.1f} % by chance)",
        tuple(_cautions(broken)),
    )


def _drawn(files: dict[str, list[Path]]) -> tuple[list[Path], NDArray[np.int64]]:
    paths = [path for group in files.values() for path in group]
    labels = np.repeat(np.arange(len(files)), [len(group) for group in files.values()]).astype(np.int64)
    drawn = class_balanced(labels, min(_MOST_IMAGES, _MOST_OF_CLASS * len(files)), _SEED)
    return [paths[index] for index in drawn], labels[drawn]


def _features_of(paths: list[Path]) -> tuple[Floats, list[int], list[Path]]:
    """Features (N, D) of the files that can be read, their indices, and the other files."""
    spec = InputSpec(_SIDE, _SIDE, 3, color="rgb")
    rows, read, broken = [], [], []
    for index, path in enumerate(paths):
        try:
            rows.append(features(read_image(path, spec)))
            read.append(index)
        except InputError:
            broken.append(path)
    return np.asarray(rows, np.float64), read, broken


def features(image: NDArray[np.uint8]) -> Floats:
    """(D,) of an image (32, 32, 3): edges by direction and mean colour in 4 x 4 cells, and how often each colour comes.

    The edges are histograms of oriented gradients (N. Dalal, B. Triggs, CVPR 2005) without overlapping blocks.
    """
    pixels = image.astype(np.float64) / 255
    down, across = np.gradient(pixels.mean(axis=2))
    direction = np.floor(np.mod(np.arctan2(down, across) / np.pi, 1) * _DIRECTIONS).astype(int) % _DIRECTIONS
    strength = np.hypot(down, across)
    edges = np.stack([_cells(strength * (direction == bin_)) for bin_ in range(_DIRECTIONS)])
    edges = np.sqrt(edges / (edges.sum() + np.finfo(float).eps))
    means = np.stack([_cells(pixels[..., channel]) for channel in range(3)])
    levels = np.minimum(image.astype(int) * _LEVELS // 256, _LEVELS - 1)
    codes = levels @ np.array([_LEVELS**2, _LEVELS, 1])
    colours = np.sqrt(np.bincount(codes.ravel(), minlength=_LEVELS**3) / codes.size)
    return np.concatenate([edges.ravel(), means.ravel(), colours])


def _cells(plane: Floats) -> Floats:
    side = _SIDE // _CELLS
    means: Floats = plane.reshape(_CELLS, side, _CELLS, side).mean(axis=(1, 3))
    return means


def _out_of_fold(features: Floats, labels: NDArray[np.int64]) -> Floats:
    """Probabilities (N, C) of linear discriminants fitted to the other folds.

    Their covariance is shrunk (O. Ledoit, M. Wolf, J. Multivariate Analysis 88, 2004): there is no number to tune.
    """
    folds = StratifiedKFold(min(_FOLDS, int(np.bincount(labels).min())), shuffle=True, random_state=_SEED)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    probabilities: Floats = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")
    return probabilities


def _check(folder: Path, classes: tuple[str, ...], labels: NDArray[np.int64], images: int, broken: list[Path]) -> None:
    if len(broken) > _MOST_UNREADABLE * images:
        raise DataError(
            f"{folder}: expected images that can be read, got {len(broken)} of {images} that cannot: "
            f"{_named(broken)}. Take them out."
        )
    few = [name for name, count in zip(classes, np.bincount(labels, minlength=len(classes)), strict=True) if count < 2]
    if few or len(classes) < 2:
        raise DataError(
            f"{folder}: expected 2 classes or more with at least 2 images that can be read each, got "
            f"{len(classes)} classes{', too few images in ' + ', '.join(few) if few else ''}. Add images."
        )


def _cautions(broken: list[Path]) -> list[str]:
    weak = "nothing was trained: these are classes that look alike from afar. A run's network knows better."
    return [weak, *([f"{len(broken)} images could not be read: {_named(broken)}."] if broken else [])]


def _named(paths: list[Path]) -> str:
    names = ", ".join(f"{path.parent.name}/{path.name}" for path in paths[:5])
    return names + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
