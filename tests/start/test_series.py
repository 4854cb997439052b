"""File names that look like series of one thing."""

from __future__ import annotations

import re

from hkd_edge.start.series import PATTERN, classes_with_series


def numbered(prefix: str, count: int) -> list[str]:
    return [f"some/folder/{prefix}{number:03}.jpg" for number in range(count)]


def test_two_series_of_a_class_are_told_with_the_first_one() -> None:
    names = [*numbered("heron-a_", 3), *numbered("heron-b_", 2)]
    assert classes_with_series((name, "wader") for name in names) == {"wader": ("heron-a_", 2)}


def test_what_a_camera_writes_before_the_number_is_no_series() -> None:
    named = [(name, label) for label in ("cat", "dog") for prefix in ("IMG_", "DSC") for name in numbered(prefix, 5)]
    assert classes_with_series(named) == {}


def test_single_images_and_names_without_a_number_are_no_series() -> None:
    assert classes_with_series([("a_1.jpg", "x"), ("b_1.jpg", "x"), ("left.jpg", "x"), ("right.jpg", "x")]) == {}


def test_the_pattern_that_is_told_groups_by_series() -> None:
    found = [re.search(PATTERN, name) for name in ("drake_0001.jpg", "drake_0026.png", "duck_0001.jpg", "portrait.jpg")]
    assert [match and match[1] for match in found] == ["drake_", "drake_", "duck_", None]
