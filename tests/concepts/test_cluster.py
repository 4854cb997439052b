from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster
from sklearn.metrics import silhouette_score

from hkd_edge.concepts.cluster import stable_count, tree_of_distances, tree_of_vectors

NAMES = ("d", "b", "c", "a")
# a and b at 1, c at 3 from both, d at 9 from all.
DISTANCES = np.array([[0, 9, 9, 9], [9, 0, 3, 1], [9, 3, 0, 3], [9, 1, 3, 0]], float)


def test_the_nearest_are_joined_first():
    tree = tree_of_distances(NAMES, DISTANCES)
    assert tree.classes == ("a", "b", "c", "d")
    assert tree.heights == (1, 3, 9)
    assert tree.groups(3) == (("a", "b"), ("c",), ("d",))
    assert tree.groups(2) == (("a", "b", "c"), ("d",))


def test_groups_are_those_of_scipy():
    points = np.random.default_rng(0).normal(size=(12, 4))
    tree = tree_of_vectors([f"{index:02}" for index in range(12)], points)
    for count in range(2, 12):
        numbers = fcluster(tree.merges, count, "maxclust")
        theirs = {tuple(np.flatnonzero(numbers == number)) for number in np.unique(numbers)}
        assert {tuple(map(int, group)) for group in tree.groups(count)} == theirs


def test_equal_heights_still_give_as_many_groups_as_asked_for():
    tree = tree_of_distances(NAMES, 1 - np.eye(4))
    assert [len(tree.groups(count)) for count in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert tree.is_flat


def test_a_group_is_complete_at_its_cophenetic_height():
    tree = tree_of_distances(NAMES, DISTANCES)
    assert tree.complete_at(("a", "c")) == tree.complete_at(("a", "b", "c")) == 3
    assert tree.complete_at(("b", "d")) == 9
    assert tree.complete_at(("a",)) == 0


def test_silhouettes_are_scikit_learn_s():
    tree = tree_of_distances(NAMES, DISTANCES)
    expected = silhouette_score(tree.distances, [0, 0, 0, 1], metric="precomputed")
    assert tree.silhouette(2) == pytest.approx(expected)


def test_the_number_of_groups_is_that_of_the_widest_gap():
    # Three pairs; joins at 1, 1.1, 1.2, then at 8 and 9: three groups last from 1.2 to 8.
    points = np.array([[0.0], [1.0], [20.0], [21.1], [40.0], [41.2]])
    distances = np.abs(points - points.T)
    assert stable_count(tree_of_distances("abcdef", distances)) == 3


def test_one_class_against_all_others_is_no_grouping_where_there_is_another():
    # f is far from all, the widest gap; but {a, b}, {c, d, e}, {f} have two groups that are some.
    points = np.array([[0.0], [1.0], [6.0], [7.0], [8.0], [90.0]])
    tree = tree_of_distances("abcdef", np.abs(points - points.T))
    assert tree.span(2)[1] - tree.span(2)[0] > tree.span(3)[1] - tree.span(3)[0]
    assert stable_count(tree) == 3


def test_one_class_against_two_is_all_that_three_classes_can_be():
    assert stable_count(tree_of_vectors("abc", np.array([[0.0], [1.0], [5.0]]))) == 2
