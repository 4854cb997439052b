"""A split that keeps groups whole: by properties over any labels and groups, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hkd_edge.data.grouped_split import hold_out
from hkd_edge.errors import DataError

NAMES = tuple("abcdef")


def held(labels: list[int], groups: list[int], fraction: float = 0.25, seed: int = 0) -> np.ndarray:
    return hold_out(np.array(labels), np.array(groups), fraction, seed, NAMES, "the test")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=80), st.integers(0, 9))
def test_groups_stay_whole_and_every_class_is_on_both_sides_or_it_is_an_error(pairs, seed) -> None:
    labels, groups = np.array(pairs).T
    try:
        chosen = hold_out(labels, groups, 0.25, seed, NAMES, "the test")
    except DataError:
        return
    out = np.zeros(len(labels), bool)
    out[chosen] = True
    assert not set(groups[out]) & set(groups[~out])
    assert set(labels[out]) == set(labels[~out]) == set(labels)


def test_it_is_stratified_and_by_seed() -> None:
    labels = np.repeat([0, 1, 2], (100, 40, 8))
    chosen = held(labels.tolist(), list(range(148)))
    assert np.bincount(labels[chosen]).tolist() == [25, 10, 2]
    assert np.array_equal(chosen, held(labels.tolist(), list(range(148))))
    assert not np.array_equal(chosen, held(labels.tolist(), list(range(148)), seed=1))


def test_groups_of_several_images_come_near_the_share() -> None:
    labels, groups = np.repeat([0, 1], 200), np.repeat(np.arange(80), 5)
    assert np.bincount(labels[held(labels.tolist(), groups.tolist())]).tolist() == [50, 50]


def test_a_class_of_large_groups_gives_its_smallest() -> None:
    labels, groups = [0] * 30, [0] * 12 + [1] * 10 + [2] * 8
    assert held(labels, groups, 0.1).tolist() == list(range(22, 30))


def test_a_class_with_one_group_is_named() -> None:
    with pytest.raises(DataError, match=r"another to train on, got only one of 'b'\. Add images of other objects"):
        held([0, 0, 1, 1], [0, 1, 2, 2])
