from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hkd_edge.concepts import measure
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

FASHION = Hierarchy(
    (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    (
        Axis("kind", ("tops", "dresses", "bottoms", "footwear", "bags"), (0, 2, 0, 1, 0, 3, 0, 3, 4, 3)),
        Axis("sleeves", ("long", "short"), (1, -1, 0, 1, 0, -1, 0, -1, -1, -1)),
    ),
)


def compact(name: str, groups: list[int]) -> Axis:
    """An axis over any whole numbers as groups, of which the smallest is silent if it is negative."""
    spoken = sorted({group for group in groups if group >= 0})
    concepts = tuple(f"c{group}" for group in spoken)
    return Axis(name, concepts, tuple(spoken.index(group) if group >= 0 else -1 for group in groups))


@st.composite
def hierarchies(draw: st.DrawFn) -> Hierarchy:
    """One to three axes over up to eight classes, each of which has a concept for at least one class."""
    count = draw(st.integers(1, 8))
    groups = st.lists(st.integers(-1, 3), min_size=count, max_size=count).filter(lambda found: max(found) >= 0)
    axes = draw(st.lists(groups, min_size=1, max_size=3))
    classes = tuple(f"class {index}" for index in range(count))
    return Hierarchy(classes, tuple(compact(f"axis {n}", axis) for n, axis in enumerate(axes)))


def permuted(hierarchy: Hierarchy, order: list[int]) -> Hierarchy:
    axes = (Axis(axis.name, axis.concepts, tuple(axis.class_to_concept[c] for c in order)) for axis in hierarchy.axes)
    return Hierarchy(tuple(hierarchy.classes[c] for c in order), tuple(axes))


def test_fashion_mnist_agrees_with_the_hand():
    # Groups by signature: {Pullover, Coat, Shirt} and {Sandal, Sneaker, Ankle boot}; H = 2 * 3/10 * log2 3.
    found = measure(FASHION)
    assert found.groups == (("Pullover", "Coat", "Shirt"), ("Sandal", "Sneaker", "Ankle boot"))
    assert found.undistinguished_count == 6
    assert found.identified_classes == ("T-shirt/top", "Trouser", "Dress", "Bag")
    assert found.entropy_bits == pytest.approx(0.6 * math.log2(3))
    assert found.prior_entropy_bits == pytest.approx(math.log2(10))


def test_each_axis_alone_agrees_with_the_hand():
    # kind: 4 tops, 3 of footwear. sleeves: 3 long, 2 short, 5 silent.
    kind, sleeves = measure(FASHION).axes
    assert kind.entropy_bits == pytest.approx(0.4 * 2 + 0.3 * math.log2(3))
    assert sleeves.entropy_bits == pytest.approx(0.3 * math.log2(3) + 0.2 * 1 + 0.5 * math.log2(5))
    assert (kind.concept_count, sleeves.concept_count) == (5, 2)
    assert sleeves.silent_classes == ("Trouser", "Sandal", "Sneaker", "Bag", "Ankle boot")


def test_a_prior_weighs_the_classes():
    # One concept holds a (1/2) and b (1/4), the other c (1/4): 3/4 * H(2/3, 1/3).
    hierarchy = Hierarchy(("a", "b", "c"), (Axis("x", ("ab", "c"), (0, 0, 1)),))
    found = measure(hierarchy, np.array([0.5, 0.25, 0.25], np.float32))
    assert found.entropy_bits == pytest.approx(0.5 * math.log2(1.5) + 0.25 * math.log2(3))
    assert found.prior_entropy_bits == pytest.approx(1.5)


def test_a_class_that_never_comes_adds_nothing():
    hierarchy = Hierarchy(("a", "b"), (Axis("x", ("all",), (0, 0)),))
    assert measure(hierarchy, [1.0, 0.0]).entropy_bits == 0


def test_without_an_axis_nothing_is_given_away():
    found = measure(Hierarchy(("a", "b", "c", "d")))
    assert found.entropy_bits == found.prior_entropy_bits == 2
    assert found.undistinguished_count == 4
    assert found.axes == ()


@pytest.mark.parametrize("prior", [[0.5, 0.5], [0.5, 0.5, 0.5], [1.5, -0.5, 0.0], [math.nan, 0.5, 0.5], [[1, 0, 0]]])
def test_a_prior_that_is_none_is_refused(prior):
    hierarchy = Hierarchy(("a", "b", "c"), (Axis("x", ("ab", "c"), (0, 0, 1)),))
    with pytest.raises(ValueError, match="expected 3 probabilities >= 0 that sum to 1 as prior, got"):
        measure(hierarchy, prior)


@settings(max_examples=50, deadline=None)
@given(hierarchies())
def test_entropy_lies_between_nothing_and_all(hierarchy):
    found = measure(hierarchy)
    assert 0 <= found.entropy_bits <= math.log2(len(hierarchy.classes)) + 1e-12
    assert all(found.entropy_bits <= axis.entropy_bits + 1e-12 for axis in found.axes)


@settings(max_examples=50, deadline=None)
@given(hierarchies())
def test_each_class_is_either_identified_or_in_a_group(hierarchy):
    found = measure(hierarchy)
    members = [*found.identified_classes, *(name for group in found.groups for name in group)]
    assert sorted(members) == sorted(hierarchy.classes)
    assert (found.entropy_bits == 0) == (found.groups == ())


@settings(max_examples=50, deadline=None)
@given(hierarchies(), st.randoms(use_true_random=False))
def test_the_order_of_the_classes_does_not_matter(hierarchy, random):
    order = list(range(len(hierarchy.classes)))
    random.shuffle(order)
    before, after = measure(hierarchy), measure(permuted(hierarchy, order))
    assert after.entropy_bits == pytest.approx(before.entropy_bits)
    assert set(after.identified_classes) == set(before.identified_classes)
    assert {frozenset(group) for group in after.groups} == {frozenset(group) for group in before.groups}


@settings(max_examples=50, deadline=None)
@given(hierarchies())
def test_an_axis_that_names_every_class_gives_all_away(hierarchy):
    names = hierarchy.classes
    identity = Axis("identity", names, tuple(range(len(names))))
    found = measure(Hierarchy(names, (*hierarchy.axes, identity)))
    assert found.entropy_bits == 0
    assert found.undistinguished_count == 0
    assert found.axes[-1].entropy_bits == 0
