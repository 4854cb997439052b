"""A folder of labelled images: one subfolder for each class, with its images, maybe inside folders of concepts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime.errors import InputError, did_you_mean
from hkd_edge_runtime.preprocess import read_image

if TYPE_CHECKING:
    from hkd_edge_runtime.manifest import InputSpec
    from hkd_edge_runtime.preprocess import Pixels

Labels = npt.NDArray[np.int64]
_UNLABELLED = ("_unlabelled", "_unlabeled")


def is_unlabelled(name: str) -> bool:
    """Whether a folder of that name holds images of no known class."""
    return name.lower() in _UNLABELLED


@dataclass(frozen=True)
class LabelledFolder:
    """The image files found, class by class, and their classes as indices."""

    paths: tuple[Path, ...]
    classes: tuple[int, ...]

    def batches(self, spec: InputSpec, size: int) -> Iterator[tuple[Pixels, Labels]]:
        """Images (N, H, W, C) fitted to the model as `preprocess` says, and labels (N,), N <= `size` at a time.

        Raises:
            InputError: for a file that is no image.
            MissingBackendError: if Pillow is not installed.
        """
        for start in range(0, len(self.paths), size):
            paths = self.paths[start : start + size]
            images = np.stack([read_image(path, spec) for path in paths])
            yield images, np.asarray(self.classes[start : start + size], np.int64)


def find_labelled(folder: str | os.PathLike[str], labels: tuple[str, ...]) -> LabelledFolder:
    """The images in the subfolders of `folder`, which are named as `labels` are, with `/` written as `_`.

    Subfolders may lie in folders of concepts, any number deep, as in training data. Hidden files and folders are passed
    over, and so are `_unlabelled` ones; classes may be missing.

    Raises:
        InputError: if there is no such folder, a folder with images is named as no class, or there are no images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder with a subfolder of images for each class, found none.")
    index = {label.replace("/", "_"): number for number, label in enumerate(labels)}
    found = [
        (path, _class_of(subfolder, index))
        for subfolder in _subfolders(folder)
        for path in _visible(subfolder)
        if path.is_file()
    ]
    if not found:
        raise InputError(f"{folder}: expected subfolders named {', '.join(index)} with images, found no image.")
    paths, classes = zip(*found, strict=True)
    return LabelledFolder(paths, classes)


def _subfolders(folder: Path) -> Iterator[Path]:
    """Every folder below `folder`, each before those in it."""
    for entry in _visible(folder):
        if entry.is_dir() and not is_unlabelled(entry.name):
            yield entry
            yield from _subfolders(entry)


def _class_of(subfolder: Path, index: dict[str, int]) -> int:
    if subfolder.name not in index:
        near = did_you_mean(subfolder.name, index)
        raise InputError(f"{subfolder}: expected a subfolder named as a class ({', '.join(index)}).{near}")
    return index[subfolder.name]


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
