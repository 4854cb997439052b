"""Writes what is imported: FOLDER/images/SPLIT/CLASS/000001.png and FOLDER/list.csv, all of it or nothing."""

from __future__ import annotations

import csv
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hkd_edge.data.listing import TRAIN, class_name, is_printable
from hkd_edge.data.pictures import Tell
from hkd_edge.errors import DataError
from hkd_edge.importing.source import Item, Source

LIST_NAME = "list.csv"
_OWN_COLUMNS = ("path", "class", "split", "group")
_UNLABELLED = "_unlabelled"
_UNSAFE = re.compile(r"[^\w +.,()&@=-]")
_LONGEST_NAME = 60  # letters; four bytes each still leave room below the 255 of a file system
_TELL_EVERY = 50
_CHOOSE = "Choose another folder, or remove this one."


@dataclass
class Written:
    """How many images were written, by class (None: without one) and split, and how many left out, by reason."""

    classes: Counter[str | None] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def refuse_existing(folder: Path) -> None:
    """Does nothing if `folder` can be made.

    Raises:
        DataError: if it is there.
    """
    if folder.exists() or folder.is_symlink():
        raise DataError(f"{folder}: expected a folder that is not there yet, got one that is. {_CHOOSE}")


def write_list(source: Source, folder: Path, tell: Tell) -> Written:
    """Writes all images of `source` that a run can use to `folder`, which appears when it is whole.

    Raises:
        DataError: if `folder` is there or cannot be written, if a name cannot be told from another or not be printed,
            or if no image has a class; and what the source raises.
    """
    refuse_existing(folder)
    _check_axes(source)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            # One folder deeper, since the temporary one itself is closed to others.
            whole = Path(temporary) / folder.name
            whole.mkdir()
            written = _write(source, whole, tell)
            refuse_existing(folder)
            whole.rename(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: expected to write it, got: {error}. Mend rights or room, or name another."
        ) from error
    return written


def _check_axes(source: Source) -> None:
    for name in source.axes:
        if name in _OWN_COLUMNS or source.axes.count(name) > 1 or not is_printable(name):
            raise DataError(
                f"{source.root}: expected each column of concepts once and none called {', '.join(_OWN_COLUMNS)}, "
                f"which mean something else in a list, got {name!a}. Rename the column."
            )


def _write(source: Source, root: Path, tell: Tell) -> Written:
    written, places = Written(), _Places(source.root)
    with (root / LIST_NAME).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["path", "class", "split", *source.axes])
        for done, item in enumerate(source.items, start=1):
            if done % _TELL_EVERY == 0 or done == source.count:
                tell("importing", done, source.count)
            if reason := _useless(item):
                written.left_out[reason] += 1
                continue
            place = places.next_for(item)
            _write_file(root / place, item.content)
            rows.writerow([place, item.label or "", item.split or "", *_cells(item, source)])
            written.classes[item.label] += 1
            written.splits.update([item.split] if item.split else [])
    if not any(label is not None for label in written.classes):
        reasons = "".join(f", {count:,} {reason}" for reason, count in written.left_out.items())
        raise DataError(
            f"{source.root}: expected images with a class, got {source.count:,} images of which none has one{reasons}. "
            "Name the column of the classes by --label, or import another data set."
        )
    return written


def _useless(item: Item) -> str | None:
    """Why no run would take the image; None for a good one."""
    if not item.content:
        return "without an image"
    if item.label is None and not item.concepts:
        return "with neither class nor concept"
    if item.label is None and item.split not in (None, TRAIN):
        return "of validation or test without a class"
    return None


def _cells(item: Item, source: Source) -> Iterator[str]:
    for axis in source.axes:
        concept = item.concepts.get(axis, "")
        if concept and not is_printable(concept):
            raise DataError(
                f"{source.root}: expected concepts that can be printed, got {concept!a} of {axis}. Rename it."
            )
        yield concept


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


class _Places:
    """Paths for images: a folder for each class, whose name is safe and no other's, and numbers in it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, str] = {}
        self._taken = {_UNLABELLED}
        self._read_as: dict[str, str] = {}
        self._numbers: Counter[str] = Counter()

    def next_for(self, item: Item) -> str:
        """The path of the next image of that class and split, with forward slashes."""
        home = "/".join(["images", *([item.split] if item.split else []), self._folder(item.label)])
        self._numbers[home] += 1
        return f"{home}/{self._numbers[home]:06}{item.suffix}"

    def _folder(self, label: str | None) -> str:
        if label is None:
            return _UNLABELLED
        if label not in self._folders:
            self._check(label)
            self._folders[label] = self._free(safe_name(label))
        return self._folders[label]

    def _check(self, label: str) -> None:
        if not is_printable(label) or not label.strip():
            raise DataError(
                f"{self._root}: expected names of classes that can be printed, got {label!a}. Rename the class."
            )
        other = self._read_as.setdefault(class_name(label.strip()), label)
        if other != label:
            raise DataError(
                f"{self._root}: expected names of classes that differ in more than blanks and Unicode's forms, "
                f"got {label!a} and {other!a}. Rename one of the classes."
            )

    def _free(self, name: str) -> str:
        # Some file systems do not tell capitals from small letters.
        number, free = 1, name
        while free.casefold() in self._taken:
            number += 1
            free = f"{name}-{number}"
        self._taken.add(free.casefold())
        return free


def safe_name(label: str) -> str:
    """`label` as the name of a folder: no separators, no leading or trailing dots and blanks, not too long.

    >>> safe_name("T-shirt/top"), safe_name(".."), safe_name("blåbær")
    ('T-shirt_top', '_', 'blåbær')
    """
    return _UNSAFE.sub("_", class_name(label))[:_LONGEST_NAME].strip(". ") or "_"
