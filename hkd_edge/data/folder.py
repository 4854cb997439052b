"""Folders of images: `class/*.jpg`, or `concept/class/*.jpg` of any depth, maybe below `train`, `val` and `test`.

The folder that directly holds an image is its class, those above it are its concepts, the topmost first: axis
`level_1` groups the classes by the folders at the top, `level_2` by those in them. Images in `concept/_unlabelled`, or
in folders below it, are of the concepts above it and of no known class. Hidden files are passed over.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hkd_edge.data.listing import (
    IMAGE_SUFFIXES,
    SPLITS,
    TRAIN,
    Entry,
    Listing,
    class_name,
    is_printable,
    listed,
    suffix_of,
)
from hkd_edge.errors import DataError
from hkd_edge_runtime.labelled import is_unlabelled

_Parts = tuple[str, ...]
_NO_FOLDERS = frozenset({"__MACOSX"})  # what macOS packs beside each file of an archive


def list_folder(root: Path) -> Listing:
    """The images below the folder `root`.

    Raises:
        DataError: if there is no such folder or no image in it, or with all images that are in no folder of a class or
            `_unlabelled`, all classes that also hold folders with images, all images without a class that are of no
            concept or held out, and all names that cannot be printed.
    """
    if not root.is_dir():
        raise DataError(
            f"{root}: expected a folder with a subfolder of images for each class, found none. Check the path."
        )
    found, folders, loops = _walk(root)
    ignored = Counter(suffix_of(parts[-1]) for parts in found if not _is_image(parts))
    images = sorted(parts for parts in found if _is_image(parts))
    if not images:
        raise DataError(
            f"{root}: expected images in a subfolder for each class, found {_told(ignored)}. Check the path."
        )
    below = 1 if _has_splits(root, images) else 0
    _check(root, images, below)
    entries = tuple(_entry(root, parts, below) for parts in images)
    levels = max(len(_home(parts)) for parts in images) - below - 1
    axes = tuple(f"level_{n + 1}" for n in range(levels))
    return Listing(root, entries, axes, dict(ignored), loops, _empty(folders, images))


def _walk(root: Path) -> tuple[list[_Parts], list[_Parts], tuple[str, ...]]:
    """The path parts of visible files and folders below `root`, and the folders that lead back to one above them."""
    files: list[_Parts] = []
    folders: list[_Parts] = []
    loops: list[str] = []
    # Links are followed, since data sets are often made of them; a folder that is its own ancestor ends a branch.
    waiting: list[tuple[_Parts, frozenset[tuple[int, int]]]] = [((), frozenset())]
    while waiting:
        parts, ancestors = waiting.pop()
        folder = root.joinpath(*parts)
        here = _identity(folder)
        if here in ancestors:
            loops.append("/".join(parts))
            continue
        for entry in _visible(folder):
            inner = (*parts, entry.name)
            if entry.is_dir():
                folders.append(inner)
                waiting.append((inner, ancestors | {here}))
            else:
                files.append(inner)
    return files, folders, tuple(sorted(loops))


def _empty(folders: list[_Parts], images: list[_Parts]) -> tuple[str, ...]:
    """The topmost folders below which there is no image."""
    filled = {upper for parts in images for upper in _above(parts)} | {()}
    return tuple(sorted("/".join(parts) for parts in folders if parts not in filled and parts[:-1] in filled))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(
            f"{folder}: expected a folder that can be read, got: {error.strerror}. Mend its rights."
        ) from error
    return (entry for entry in entries if not entry.name.startswith(".") and entry.name not in _NO_FOLDERS)


def _is_image(parts: _Parts) -> bool:
    return suffix_of(parts[-1]) in IMAGE_SUFFIXES


def _has_splits(root: Path, images: list[_Parts]) -> bool:
    """Whether the folders at the top are splits and not classes or concepts."""
    tops = {parts[0] for parts in images if len(parts) > 1}
    splits = {top for top in tops if top.lower() in SPLITS}
    if TRAIN not in {SPLITS[top.lower()] for top in splits}:
        return False
    if others := sorted(tops - splits):
        raise DataError(
            f"{root}: expected only splits beside {', '.join(sorted(splits))}, got {', '.join(others[:3])}. "
            "Move them into a split, or rename the splits if they are classes."
        )
    return True


def _check(root: Path, images: list[_Parts], below: int) -> None:
    astray = ["/".join(parts) for parts in images if len(parts) < below + 2]
    if astray:
        raise DataError(listed(f"{root}: expected every image in the folder of its class", astray, _MOVE))
    _check_unlabelled(root, [parts for parts in images if _is_unlabelled(_home(parts))], below)
    classes = {_home(parts) for parts in images}
    mixed = sorted({upper for folder in classes for upper in _above(folder)} & classes)
    if mixed:
        told = ["/".join(folder) for folder in mixed]
        raise DataError(listed(f"{root}: expected folders with either images or folders of images", told, _MOVE))
    names = sorted({name for folder in classes for name in folder if not is_printable(name)})
    if names:
        raise DataError(listed(f"{root}: expected folder names that can be printed", map(ascii, names), "Rename them."))


def _check_unlabelled(root: Path, images: list[_Parts], below: int) -> None:
    if nowhere := ["/".join(parts) for parts in images if len(_home(parts)) < below + 2]:
        expected = "expected images without a class in a folder of their concept (concept/_unlabelled/image.jpg)"
        remedy = "Without a concept they teach nothing: move them into one that groups classes, or take them out."
        raise DataError(listed(f"{root}: {expected}", nowhere, remedy))
    if held_out := ["/".join(parts) for parts in images if below and SPLITS[parts[0].lower()] != TRAIN]:
        expected = "expected images without a class among those to train on"
        remedy = "No answer to them is right or wrong: move them to the training images, or take them out."
        raise DataError(listed(f"{root}: {expected}", held_out, remedy))


_MOVE = "Move the images into a folder of their own, which is then their class."


def _home(parts: _Parts) -> _Parts:
    """The folder of an image's class, or the folder `_unlabelled` that it is in or somewhere below."""
    ends = (number for number, name in enumerate(parts[:-1], start=1) if is_unlabelled(name))
    return parts[: next(ends, len(parts) - 1)]


def _is_unlabelled(home: _Parts) -> bool:
    return is_unlabelled(home[-1])


def _above(folder: _Parts) -> Iterator[_Parts]:
    return (folder[:length] for length in range(1, len(folder)))


def _entry(root: Path, parts: _Parts, below: int) -> Entry:
    name = "/".join(parts)
    home = _home(parts)
    *concepts, label = (class_name(part) for part in home[below:])
    levels = {f"level_{number + 1}": concept for number, concept in enumerate(concepts)}
    split = SPLITS[parts[0].lower()] if below else None
    return Entry(root.joinpath(*parts), name, None if _is_unlabelled(home) else label, name, levels, split)


def _told(ignored: Counter[str]) -> str:
    return ", ".join(f"{count} files {suffix}" for suffix, count in ignored.most_common(5)) or "no file"
