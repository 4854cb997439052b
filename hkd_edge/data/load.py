"""The data sets by name."""

from __future__ import annotations

import importlib
from pathlib import Path

from hkd_edge.data.dataset import Dataset

DATASETS = {
    "fashion_mnist": "hkd_edge.data.fashion_mnist",
    "digits": "hkd_edge.data.digits",
}


def load_dataset(name: str, root: Path | None, *, download: bool) -> Dataset:
    """The data set `name` (a key of `DATASETS`; recipes are checked against it), whole in memory.

    Raises:
        DataError: if no source has it, or if its files are missing, truncated or corrupt.
    """
    module = importlib.import_module(DATASETS[name])
    dataset: Dataset = module.load(root, download=download)
    return dataset
