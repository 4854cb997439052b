"""File names that look like series: several images of one thing, which a split may tear apart."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

PATTERN = "^(.*[^0-9])[0-9]+[.]"  # what stands before a name's last number; as `data.group_by`
_NUMBERED = re.compile(PATTERN)
_LEAST_SERIES = 2  # in a class, each of two images or more


def classes_with_series(named: Iterable[tuple[str, str]]) -> dict[str, tuple[str, int]]:
    """The classes whose images are numbered in several series, each with one series' name and how many there are.

    `named` are names of files with their classes. What cameras write before the number (`IMG_0001.jpg`) is the same in
    all classes and no series of a class.

    >>> names = [(f"cup-{cup}_{shot}.jpg", "cup") for cup in "ab" for shot in range(3)]
    >>> classes_with_series([*names, ("IMG_0001.jpg", "pot"), ("IMG_0002.jpg", "pot")])
    {'cup': ('cup-a_', 2)}
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for name, label in named:
        if match := _NUMBERED.search(PurePosixPath(name).name):
            counts[label][match[1]] += 1
            homes[match[1]].add(label)
    own = {
        label: [series for series, images in each.items() if images > 1 and homes[series] == {label}]
        for label, each in counts.items()
    }
    return {label: (series[0], len(series)) for label, series in own.items() if len(series) >= _LEAST_SERIES}
