"""What a folder or a list says of its images before any of them is opened: paths, classes, concepts, splits, groups."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hkd_edge.errors import DataError
from hkd_edge_runtime.hierarchy import SILENT, Axis, Hierarchy

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
# What Pillow reads. HEIC it does not, but photos they are: they shall be told as unreadable, not passed over.
IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".tga"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".heic", ".heif"),
    )
)
MOST_LISTED = 20  # findings that a message lists


@dataclass(frozen=True)
class Entry:
    """One image file.

    Attributes:
        name: how it is told: its path below the root, with forward slashes.
        label: its class, or None where nobody has told it; its concepts are known then.
        place: where it is said to be of its class: the name, or the line of a list.
        concepts: its concept by axis; axes that are silent on it are left out.
        split: `train`, `validation` or `test`, or None where the source names none.
    """

    path: Path
    name: str
    label: str | None
    place: str
    concepts: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Listing:
    """All images of one source, in an order that depends on their names alone.

    Attributes:
        root: the folder, or the list's file.
        axes: the names of the axes that the entries' concepts are on.
        ignored: how many other files there are, by suffix.
        loops: folders that were not entered, since they lead back to one they are in.
        empty: folders below which there is no image.
    """

    root: Path
    entries: tuple[Entry, ...]
    axes: tuple[str, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    loops: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()


def class_name(text: str) -> str:
    """`text` as a class is called: macOS and Linux may write one letter in two ways (Unicode's forms NFD and NFC)."""
    return unicodedata.normalize("NFC", text)


def is_printable(name: str) -> bool:
    """Whether `name` can name a class or concept: no control characters, and nothing that is no Unicode."""
    return bool(name) and not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def suffix_of(name: str) -> str:
    """The suffix by which files are counted, in lower case."""
    return Path(name).suffix.lower() or "(none)"


def grouped(entries: Iterable[Entry], pattern: str | None) -> tuple[Entry, ...]:
    """`entries`, those without a group in that which `pattern` finds in their file name, if it finds one."""
    if pattern is None:
        return tuple(entries)
    finder = re.compile(pattern)
    return tuple(entry if entry.group else replace(entry, group=_found(finder, entry)) for entry in entries)


def _found(finder: re.Pattern[str], entry: Entry) -> str | None:
    match = finder.search(entry.path.name)
    if match is None:
        return None
    return "\0".join(text or "" for text in match.groups()) if match.groups() else match.group()


def hierarchy_of(listing: Listing, classes: tuple[str, ...]) -> Hierarchy:
    """The concepts that the source itself groups `classes` by; axes with fewer than two concepts tell nothing.

    Raises:
        DataError: with every class that is in two concepts of an axis, and where that is said.
    """
    homes = {axis: _homes(listing, axis) for axis in listing.axes}
    if problems := [text for axis in listing.axes for text in _contradictions(axis, homes[axis])]:
        raise DataError(listed(f"{listing.root}: expected each class in one concept of an axis", problems, _RENAME))
    axes = []
    for axis in listing.axes:
        home = {label: next(iter(found)) for label, found in homes[axis].items() if label in classes}
        if len(set(home.values())) > 1:
            axes.append(_axis(axis, home, classes))
    return Hierarchy(classes, tuple(axes))


_RENAME = "Name one of the classes otherwise, or mend the concept."


def _homes(listing: Listing, axis: str) -> dict[str, dict[str, str]]:
    """For each class its concepts on `axis`, each with the first place that says so."""
    homes: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for entry in listing.entries:
        if axis in entry.concepts and entry.label is not None:
            homes[entry.label].setdefault(entry.concepts[axis], entry.place)
    return homes


def _contradictions(axis: str, homes: Mapping[str, Mapping[str, str]]) -> Iterable[str]:
    for label, found in homes.items():
        if len(found) > 1:
            told = " and ".join(f"{concept!r} ({place})" for concept, place in found.items())
            yield f"class {label!r} is in {told} of {axis}"


def _axis(name: str, home: Mapping[str, str], classes: tuple[str, ...]) -> Axis:
    concepts = tuple(sorted(set(home.values())))
    return Axis(name, concepts, tuple(concepts.index(home[c]) if c in home else SILENT for c in classes))


def listed(head: str, problems: Iterable[str], remedy: str) -> str:
    """One message over all `problems`, of which it lists the first ones."""
    every = list(problems)
    more = [f"and {len(every) - MOST_LISTED} more"] if len(every) > MOST_LISTED else []
    return "\n  ".join([f"{head}, got {len(every)} that are not:", *every[:MOST_LISTED], *more]) + f"\n{remedy}"


def counts_of(entries: Iterable[Entry]) -> dict[str, int]:
    """How many images each class has, by the class's name."""
    return dict(sorted(Counter(entry.label for entry in entries if entry.label is not None).items()))
