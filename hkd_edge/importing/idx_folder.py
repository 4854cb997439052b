"""Folders of idx files, as MNIST and its relatives come.

`train-images-idx3-ubyte.gz` belongs to `train-labels-idx1-ubyte.gz`, with or without .gz: pairs are found by what their
names begin with, of which the last word tells the split. Files of colour images have four axes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.idx import read_idx
from hkd_edge.data.listing import is_printable
from hkd_edge.errors import DataError
from hkd_edge.importing.source import Item, Source, known_splits, split_named, to_png

_IMAGES = re.compile(r"(?P<begin>.*)images[-.]idx(?P<axes>[34])[-.]ubyte(\.gz)?")
_LABELS = re.compile(r"(?P<begin>.*)labels[-.]idx1[-.]ubyte(\.gz)?")
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class _Pair:
    images: Path
    axes: int
    labels: NDArray[np.uint8]
    split: str | None


def has_idx_files(folder: Path) -> bool:
    """Whether there is an idx file of images in `folder`."""
    return any(_IMAGES.fullmatch(file.name) for file in folder.iterdir())


def read_idx_folder(folder: Path, classes_file: Path | None) -> Source:
    """The images of all pairs of idx files in `folder`; classes are the lines of `classes_file`, or else numbers.

    Raises:
        DataError: if a file of labels is missing, damaged or has a label that is no class, if two pairs are one
            split, or if the names of the classes are wrong. While the items are read, if a file of images is damaged
            or has another number of them.
    """
    classes = None if classes_file is None else _read_classes(classes_file)
    named = _image_files(folder)
    splits = known_splits(folder, {name: split_named(_last_word(begin)) for begin, (name, _) in named.items()})
    _check_once(folder, splits)
    labels = _label_files(folder)
    pairs = [
        _Pair(folder / name, axes, _labels(folder / name, begin, labels, classes), splits[name])
        for begin, (name, axes) in named.items()
        if name in splits
    ]
    left_out = tuple(name for name, _ in named.values() if name not in splits)
    return Source(folder, sum(len(pair.labels) for pair in pairs), _items(pairs, classes), (), left_out)


def _image_files(folder: Path) -> dict[str, tuple[str, int]]:
    """For each beginning the file of images and its number of axes; a plain file goes before its gzipped twin."""
    found: dict[str, tuple[str, int]] = {}
    for name in sorted(file.name for file in folder.iterdir()):
        if match := _IMAGES.fullmatch(name):
            found.setdefault(match["begin"], (name, int(match["axes"])))
    return found


def _label_files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if match := _LABELS.fullmatch(file.name):
            found.setdefault(match["begin"], file)
    return found


def _last_word(begin: str) -> str:
    words = re.findall(r"[^\W_]+", begin)
    return words[-1] if words else ""


def _check_once(folder: Path, splits: dict[str, str | None]) -> None:
    for split in set(splits.values()):
        if len(names := [name for name, other in splits.items() if other == split]) > 1:
            raise DataError(
                f"{folder}: expected one file of images for the split {split}, got {', '.join(names)}. "
                "Put each data set into a folder of its own."
            )


def _labels(images: Path, begin: str, files: dict[str, Path], classes: Sequence[str] | None) -> NDArray[np.uint8]:
    if begin not in files:
        raise DataError(
            f"{images}: expected the file {begin}labels-idx1-ubyte.gz (or without .gz) beside it, got none. "
            "Copy it there."
        )
    labels = read_idx(files[begin], 1)
    if classes is not None and len(labels) and labels.max() >= len(classes):
        raise DataError(
            f"{files[begin]}: expected labels 0 to {len(classes) - 1}, for which there are names, got {labels.max()}. "
            "Name every class, one on each line, that of label 0 first."
        )
    return labels


def _items(pairs: Sequence[_Pair], classes: Sequence[str] | None) -> Iterator[Item]:
    for pair in pairs:
        images = _pixels(pair)
        for image, label in zip(images, pair.labels.tolist(), strict=True):
            yield Item(to_png(image), ".png", str(label) if classes is None else classes[label], pair.split)


def _pixels(pair: _Pair) -> NDArray[np.uint8]:
    """Images (N, H, W) or, of C channels, (N, H, W, C); the channels of a file may be its second axis too."""
    images = read_idx(pair.images, pair.axes)
    if len(images) != len(pair.labels) or 0 in images.shape[1:]:
        raise DataError(
            f"{pair.images}: expected {len(pair.labels)} images, one for each label, "
            f"got shape {images.shape}. The files are not of one data set: replace one of them."
        )
    if images.ndim == 3 or images.shape[3] in _CHANNELS:
        return images
    if images.shape[1] in _CHANNELS:
        return np.moveaxis(images, 1, 3)
    raise DataError(
        f"{pair.images}: expected 1 or 3 channels on the last or the second axis, got shape {images.shape}. "
        "Write the images in grey or RGB."
    )


def _read_classes(file: Path) -> list[str]:
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: expected a text file of class names, got: {error}. Check the path.") from error
    wrong = sorted({name for name in names if names.count(name) > 1 or not is_printable(name)})
    if wrong or not names:
        raise DataError(
            f"{file}: expected a name of its own for each class, one on each line, got {wrong or 'an empty file'}. "
            "Mend the file."
        )
    return names
