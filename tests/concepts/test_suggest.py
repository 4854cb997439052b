from __future__ import annotations

import dataclasses
import unicodedata

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hkd_edge.concepts import load_hierarchy
from hkd_edge.concepts.dendrogram import draw_text
from hkd_edge.concepts.suggest import Evidence, suggest
from hkd_edge.concepts.written import confused, quoted, to_yaml
from hkd_edge.errors import HierarchyError
from hkd_edge.recipe.located_yaml import parse_yaml
from tests.concepts.drawn import FEET, UPPER, confusions, evidence


def partition(axis) -> set[frozenset[str]]:
    return {frozenset(group) for group in axis.groups}


def test_what_is_confused_stands_together():
    (axis,) = suggest(evidence()).axes
    assert partition(axis) == {frozenset(UPPER), frozenset(FEET), frozenset({"Bag"})}
    assert axis.groups[0] == ("Coat", "Shirt")
    assert axis.tree.linkage == "average"


def test_embeddings_are_joined_by_ward_s_linkage():
    (axis,) = suggest(evidence(), by="embeddings", groups=[3]).axes
    assert partition(axis) == {frozenset(UPPER), frozenset(FEET), frozenset({"Bag"})}
    assert axis.tree.linkage == "ward"


def test_a_second_axis_tells_apart_what_the_first_puts_together():
    first, second = suggest(evidence(), axes=2, groups=[3, 2]).axes
    assert partition(first) == {frozenset(UPPER), frozenset(FEET), frozenset({"Bag"})}
    assert partition(second) == {frozenset({"Coat", "Boot"}), frozenset({"Shirt", "Sandal", "Sneaker"})}


def test_a_second_axis_is_silent_on_what_was_alone():
    hierarchy = suggest(evidence(), axes=2).hierarchy
    assert hierarchy.silent_classes() == {"axis_1": (), "axis_2": ("Bag",)}


def test_fewer_axes_than_asked_for_are_told_with_the_reason():
    found = suggest(evidence(), axes=9)
    assert len(found.axes) < 9
    assert f"{len(found.axes)} of 9 axes:" in found.cautions[-1]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_as_many_groups_as_asked_for(count):
    (axis,) = suggest(evidence(), groups=[count]).axes
    assert len(axis.groups) == count
    assert not axis.chosen


@pytest.mark.parametrize("count", [0, 1, 6, 7])
def test_a_number_of_groups_that_groups_nothing_is_refused(count):
    with pytest.raises(HierarchyError, match=f"^axis_1: expected 2 to 5 groups for 6 classes, got {count}\\.$"):
        suggest(evidence(), groups=[count])


@pytest.mark.parametrize("classes", [("a",), ("a", "b")])
def test_one_or_two_classes_have_no_groups(classes):
    count = len(classes)
    few = Evidence(classes, np.eye(count), np.eye(count), "nobody")
    with pytest.raises(HierarchyError, match=f"^expected at least 3 classes to group, got {count}: "):
        suggest(few)


@pytest.mark.parametrize("matrix", [np.eye(6), np.full((6, 6), 1 / 6)], ids=["perfect", "uniform"])
def test_where_nothing_tells_what_is_near_nothing_is_suggested(matrix):
    alike = dataclasses.replace(evidence(), confusions=matrix)
    with pytest.raises(HierarchyError, match="6 that lie equally far apart by confusions. Try --by embeddings"):
        suggest(alike)
    assert suggest(alike, by="embeddings").axes


def test_pairs_are_told_with_the_mean_of_both_directions():
    matrix = confusions()
    matrix[0, 2] += 0.04  # Coat taken for Shirt
    matrix[0, 0] -= 0.04
    ((one, other, share),) = confused(("Coat", "Shirt"), dataclasses.replace(evidence(), confusions=matrix))
    assert (one, other, share) == ("Coat", "Shirt", pytest.approx(0.12))


def test_the_file_says_what_it_comes_from_and_why():
    text = to_yaml(dataclasses.replace(suggest(evidence()), cautions=("the images are few.",)))
    assert "# From a drawn network." in text
    assert "# Caution: the images are few." in text
    assert "# By confusions, average linkage; 3 groups, the number that lasts longest" in text
    assert "most confused: Coat and Shirt 10.0%." in text
    assert "    # Alone: like no other class.\n    group_3:\n      - Bag\n" in text


def test_the_tree_is_drawn_with_each_class_in_its_group():
    axis = suggest(evidence()).axes[0]
    lines = draw_text(axis.tree, axis.groups).splitlines()
    assert {line.split()[1]: line.split()[0] for line in lines[:-1]} == {
        **dict.fromkeys(UPPER, "group_1"),
        **dict.fromkeys(FEET, "group_2"),
        "Bag": "group_3",
    }
    assert lines[-1].split() == ["0", f"{axis.tree.heights[-1]:.2f}"]


def test_a_drawn_tree_of_three_is_what_a_hand_would_draw():
    near = Evidence(("a", "b", "c"), np.array([[0.8, 0.2, 0], [0.2, 0.8, 0], [0, 0, 1]]), np.eye(3), "nobody")
    axis = suggest(near).axes[0]
    drawn = draw_text(axis.tree, axis.groups).splitlines()
    assert [line.split()[:2] for line in drawn[:3]] == [["group_2", "c"], ["group_1", "a"], ["group_1", "b"]]
    assert drawn[0].endswith("─┐")
    assert "┬" in drawn[1]
    assert drawn[1].endswith("┘")
    assert drawn[2].endswith("┘")


names = st.text(min_size=1, max_size=12).filter(
    lambda text: all(unicodedata.category(letter) not in ("Cc", "Cs") for letter in text)
)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Any confusions and embeddings of 3 to 9 classes with any names; zeros and equal numbers come often."""
    classes = draw(st.lists(names, min_size=3, max_size=9, unique=True))
    shape = (len(classes), len(classes))
    drawn = draw(arrays.arrays(np.float64, shape, elements=st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])))
    drawn = drawn + 1e-9
    embeddings = draw(arrays.arrays(np.float64, (len(classes), 3), elements=st.floats(-9, 9, width=16)))
    return Evidence(tuple(classes), drawn / drawn.sum(axis=1, keepdims=True), embeddings, "a drawn network")


def suggested(given_evidence: Evidence, axes: int, by: str):
    """The suggestion; an example in which all classes lie equally far apart is passed over."""
    try:
        return suggest(given_evidence, axes, by=by)  # type: ignore[arg-type]
    except HierarchyError as error:
        assert "equally far apart" in str(error)
        assume(False)


@settings(max_examples=40, deadline=None)
@given(evidences(), st.integers(1, 3), st.sampled_from(["confusions", "embeddings"]))
def test_every_suggestion_is_a_hierarchy_that_loads_as_it_is_written(tmp_path_factory, drawn, axes, by):
    found = suggested(drawn, axes, by)
    path = tmp_path_factory.getbasetemp() / "suggested.yaml"
    path.write_text(to_yaml(found), encoding="utf-8")
    assert load_hierarchy(path, drawn.classes) == found.hierarchy
    assert not found.hierarchy.silent_classes()["axis_1"]
    for axis in found.axes:
        assert len(draw_text(axis.tree, axis.groups).split("\n")) == len(axis.tree.classes) + 1


@settings(max_examples=40, deadline=None)
@given(evidences(), st.randoms(use_true_random=False), st.sampled_from(["confusions", "embeddings"]))
def test_the_order_of_the_classes_changes_no_group(drawn, random, by):
    order = list(range(len(drawn.classes)))
    random.shuffle(order)
    turned = Evidence(
        tuple(drawn.classes[index] for index in order),
        drawn.confusions[np.ix_(order, order)],
        drawn.embeddings[order],
        drawn.source,
    )
    axes = [[partition(axis) for axis in suggested(one, 3, by).axes] for one in (drawn, turned)]
    assert axes[0] == axes[1]


@settings(max_examples=200, deadline=None)
@given(names)
def test_any_name_is_read_as_it_was_meant(name):
    document = parse_yaml(f"- {quoted(name)}\n", "", "")
    assert document is not None
    assert document.value == [name]


@pytest.mark.parametrize("name", ["yes", "No", "null", "~", "1e4", "a: b", "a #b", "- a", " a", "a ", "é", "\u2028x"])
def test_names_that_yaml_takes_for_something_else_are_quoted(name):
    assert quoted(name).startswith('"')
