"""The data sets by name, and the user's own."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from hkd_edge.data.dataset import Dataset, Split, stratified_split
from hkd_edge.data.grouped_split import hold_out
from hkd_edge.data.pictures import Tell
from hkd_edge.data.unlabelled import left_out_beside
from hkd_edge.recipe.data import OWN_IMAGES, Data

DATASETS = {
    "fashion_mnist": "hkd_edge.data.fashion_mnist",
    "digits": "hkd_edge.data.digits",
}


def load_data(data: Data, root: Path | None, tell: Tell) -> Dataset:
    """What the section `data` of a recipe names, whole in memory; `root` is its `data.root` from the current folder.

    Raises:
        DataError: as `load_dataset` and `load_own_images`.
        MissingDependencyError: if a package that only this source needs is not installed.
    """
    if data.dataset not in OWN_IMAGES or root is None:
        return load_dataset(data.dataset, root, download=data.download)
    from hkd_edge.data.own_images import load_own_images

    return load_own_images(data, root, tell)


def split_data(dataset: Dataset, data: Data) -> Split:
    """The training and validation images of `dataset`: as its source has split them, or held out by class and group.

    Images without a class are trained on, but for those of one group with an image that is held out.

    Raises:
        DataError: if a class has too few images to be split.
    """
    origin, labels = dataset.origin, dataset.train.labels
    if origin is None:
        return stratified_split(labels, data.validation_fraction, data.split_seed)
    held_out = origin.held_out
    if held_out is None:
        how = (data.validation_fraction, data.split_seed, dataset.classes, "validation")
        known = np.flatnonzero(dataset.has_class)
        held_out = known[hold_out(labels[known], origin.groups[known], *how)]
    left_out = left_out_beside(held_out, origin.groups, dataset.has_class)
    apart = np.concatenate([held_out, left_out, origin.left_out])
    return Split(np.setdiff1d(np.arange(len(labels)), apart).astype(np.int64), held_out)


def load_dataset(name: str, root: Path | None, *, download: bool) -> Dataset:
    """The data set `name` (a key of `DATASETS`; recipes are checked against it), whole in memory.

    Raises:
        DataError: if no source has it, or if its files are missing, truncated or corrupt.
    """
    module = importlib.import_module(DATASETS[name])
    dataset: Dataset = module.load(root, download=download)
    return dataset
