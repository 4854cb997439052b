from __future__ import annotations

import pytest

from hkd_edge.concepts.judge import agreement, judge
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

CLASSES = ("a", "b", "c", "d", "e", "f")
HALVES = Axis("halves", ("low", "high"), (0, 0, 0, 1, 1, 1))


def told(*axes: Axis) -> list[str]:
    return [f"{each.kind}: {each.text}" for each in judge(Hierarchy(CLASSES, axes))]


def test_a_sound_hierarchy_has_notes_alone():
    assert told(HALVES) == [
        "note: H(class | concepts) = 1.58 of 2.58 bits; 6 of 6 classes share all their concepts with another",
        "note: not told apart: a, b, c",
        "note: not told apart: d, e, f",
    ]


def test_concepts_that_spell_out_the_class_are_warned_of():
    (first, *_) = told(HALVES, Axis("thirds", ("x", "y", "z"), (0, 1, 2, 0, 1, 2)))
    assert first.startswith("warning: H(class | concepts) = 0.00 of 2.58 bits: the concepts together spell out every")


def test_an_axis_that_repeats_another_is_warned_of():
    found = told(HALVES, Axis("again", ("big", "small"), (1, 1, 1, 0, 0, 0)))
    assert "warning: halves and again repeat each other: adjusted mutual information 1.00 of 1." in found
    assert "warning: again: separates no two classes that the other axes do not; leave it out?" in found


def test_an_axis_above_another_in_a_tree_separates_nothing_more():
    finer = Axis("finer", ("p", "q", "r"), (0, 0, 1, 2, 2, 2))
    found = told(HALVES, finer)
    assert "warning: halves: separates no two classes that the other axes do not; leave it out?" in found
    assert not any(line.startswith("warning: finer: separates") for line in found)


def test_two_concepts_of_the_same_classes_are_warned_of():
    other = Axis("other", ("first", "rest", "last"), (0, 0, 0, 1, 2, -1))
    assert "warning: low of halves and first of other hold the same classes." in told(HALVES, other)


def test_an_axis_of_single_classes_is_no_axis_of_concepts():
    found = told(HALVES, Axis("single", ("x", "y"), (0, -1, -1, -1, -1, 1)))
    assert "warning: single: each concept holds one class alone; its teacher learns classes, not concepts." in found


def test_a_class_alone_in_its_concept_is_noted():
    assert "note: most: one class alone in y; there the concept is the class" in told(
        Axis("most", ("x", "y"), (0, 0, 0, 0, 0, 1))
    )


def test_silence_is_noted_and_silence_everywhere_warned_of():
    found = told(Axis("some", ("x", "y"), (0, 0, 1, 1, -1, -1)))
    assert "warning: no axis speaks of e, f: the concept teacher says nothing of them." in found
    assert "note: some is silent on e, f" in found


def test_warnings_come_first():
    kinds = [line.split(":")[0] for line in told(HALVES, Axis("some", ("x", "y"), (0, 1, 0, 1, -1, -1)), HALVES_AGAIN)]
    assert kinds == sorted(kinds, reverse=True)
    assert set(kinds) == {"warning", "note"}


HALVES_AGAIN = Axis("again", ("big", "small"), (1, 1, 1, 0, 0, 0))


@pytest.mark.parametrize(("groups", "expected"), [((1, 1, 1, 0, 0, 0), 1.0), ((0, 1, 0, 1, 0, 1), 0.0)])
def test_agreement_is_one_for_the_same_and_near_zero_for_unrelated_groups(groups, expected):
    assert agreement(HALVES, Axis("other", ("x", "y"), groups)) == pytest.approx(expected, abs=0.15)


def test_names_cannot_steer_a_terminal():
    hierarchy = Hierarchy(("a\u2028b", "c"), (Axis("x\u202e", ("y", "z"), (0, 1)),))
    assert all(each.text.isprintable() for each in judge(hierarchy))
