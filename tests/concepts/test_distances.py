from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hkd_edge.concepts.distances import class_means, confusion_distances, without_groups


def test_means_are_of_each_class_alone():
    values, labels = np.array([[1.0, 0.0], [3.0, 2.0], [5.0, 5.0]]), [1, 1, 0]
    assert class_means(values, labels, 2).tolist() == [[5, 5], [2, 1]]


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_a_class_without_rows_and_one_too_many_are_refused(labels):
    with pytest.raises(ValueError, match="expected rows of each of 2 classes"):
        class_means(np.eye(3), labels, 2)


def test_distances_are_shepard_s():
    # g_01 = sqrt(0.2 * 0.1 / (0.8 * 0.9)); the smoothing of 0.001 moves the third digit.
    expected = -math.log(math.sqrt(0.2 * 0.1 / (0.8 * 0.9)))
    found = confusion_distances([[0.8, 0.2], [0.1, 0.9]])
    assert found[0, 1] == pytest.approx(expected, rel=2e-3)


def test_a_hard_class_is_not_near_to_all():
    # Both pairs exchange a tenth; the second pair is told apart less well otherwise, so that a tenth means less there.
    shares = [[0.9, 0.1, 0, 0], [0.1, 0.9, 0, 0], [0, 0, 0.5, 0.1], [0, 0, 0.1, 0.5]]
    rows = np.array(shares)
    rows[2:, :2] += 0.2
    found = confusion_distances(rows)
    assert found[2, 3] < found[0, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[0.5, 0.5]], "expected confusions \\(C, C\\), got the shape \\(1, 2\\)"),
        ([[1.5, -0.5], [0.5, 0.5]], "whose rows sum to 1"),
        ([[30.0, 2.0], [1.0, 31.0]], "Divide each row by its sum"),
        ([[math.nan, 1.0], [0.5, 0.5]], "whose rows sum to 1"),
    ],
)
def test_what_is_no_matrix_of_probabilities_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        confusion_distances(given)


shares = arrays.arrays(np.float64, st.integers(1, 7).map(lambda n: (n, n)), elements=st.floats(0, 1)).map(
    lambda drawn: (drawn + 1e-9) / (drawn + 1e-9).sum(axis=1, keepdims=True)
)


@settings(max_examples=60, deadline=None)
@given(shares)
def test_distances_are_finite_symmetric_and_not_negative(confusions):
    found = confusion_distances(confusions)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found == found.T).all()
    assert not np.diag(found).any()


def test_what_tells_groups_apart_is_gone_and_what_does_not_stays():
    # The groups differ in the first number alone, their members in the second.
    vectors = np.array([[5.0, 1.0], [5.0, -1.0], [-5.0, 2.0], [-5.0, -2.0]])
    left = without_groups(vectors, [0, 0, 1, 1])
    np.testing.assert_allclose(left, [[0, 1], [0, -1], [0, 2], [0, -2]], atol=1e-12)


def test_nothing_is_left_of_a_class_alone_not_even_rounding():
    draw = np.random.default_rng(0)
    left = without_groups(draw.normal(size=(6, 9)), [0, 0, 1, 2, 2, 2])
    assert not left[2].any()
    assert left[[0, 1, 3, 4, 5]].any(axis=1).all()


def test_equal_vectors_leave_nothing():
    assert not without_groups(np.ones((3, 2)), [0, 1, 1]).any()
