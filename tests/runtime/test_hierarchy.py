from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hkd_edge_runtime.hierarchy import Axis, Hierarchy

PETS = {
    "classes": ["cat", "dog", "car"],
    "axes": {"kind": {"animal": ["cat", "dog"], "thing": ["car"]}, "size": {"small": ["cat"]}},
}

NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)


@st.composite
def hierarchies(draw: st.DrawFn) -> Hierarchy:
    classes = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    axes = []
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        raw = draw(st.lists(st.integers(-1, 3), min_size=len(classes), max_size=len(classes)))
        used = sorted(set(raw) - {-1})
        if not used:
            raw, used = [0] * len(classes), [0]
        concepts = draw(st.lists(NAMES, min_size=len(used), max_size=len(used), unique=True))
        indices = tuple(used.index(number) if number >= 0 else -1 for number in raw)
        axes.append(Axis(name, tuple(concepts), indices))
    return Hierarchy(tuple(classes), tuple(axes))


@given(hierarchies())
def test_a_hierarchy_survives_json(hierarchy: Hierarchy) -> None:
    assert Hierarchy.from_dict(json.loads(json.dumps(hierarchy.to_dict()))) == hierarchy


@given(hierarchies())
def test_each_class_is_on_one_concept_of_an_axis_or_silent(hierarchy: Hierarchy) -> None:
    for axis, columns in zip(hierarchy.axes, hierarchy.slices(), strict=True):
        rows = hierarchy.membership()[:, columns]
        silent = [name in hierarchy.silent_classes()[axis.name] for name in hierarchy.classes]
        assert rows.sum(axis=1).tolist() == [0.0 if each else 1.0 for each in silent]


def test_the_membership_is_the_one_worked_out_by_hand() -> None:
    hierarchy = Hierarchy.from_dict(PETS)
    assert hierarchy.membership().tolist() == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert hierarchy.membership().dtype == np.float32
    assert hierarchy.slices() == (slice(0, 2), slice(2, 3))


def test_the_silent_classes_of_an_axis_are_named() -> None:
    assert Hierarchy.from_dict(PETS).silent_classes() == {"kind": (), "size": ("dog", "car")}


def test_a_hierarchy_without_axes_has_no_concepts() -> None:
    assert Hierarchy(("cat", "dog")).membership().shape == (2, 0)
    assert Hierarchy(("cat", "dog")).slices() == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": []}, "at least one class"),
        ({"classes": ["cat", "cat", "dog", "car"]}, "'cat' twice"),
        ({"classes": ["cat", "dog", ""]}, "expected printable names, got ''"),
        ({"classes": ["cat", "dog", "ca\x1br"]}, "expected printable names"),
        ({"classes": "cat"}, "classes: expected a list of texts, got 'cat'"),
        ({"classes": ["cat", 1]}, "classes: expected a list of texts"),
        ({"axes": ["kind"]}, "axes: expected a mapping with text keys, got list"),
        ({"axes": {"kind": ["cat"]}}, "axis 'kind': expected a mapping"),
        ({"axes": {"kind": {}}}, "axis 'kind': expected at least one concept"),
        ({"axes": {"kind": {"animal": []}}}, "concept 'animal' holds no class"),
        ({"axes": {"kind": {"animal": "cat"}}}, "concept 'animal': expected a list of texts"),
        ({"axes": {"kind": {"animal": ["cut"]}}}, "unknown class 'cut'. Did you mean 'cat'?"),
        ({"axes": {"kind": {"animal": ["cat"], "pet": ["cat"]}}}, "'cat' is listed twice on this axis"),
        ({"extra": 1}, "expected the keys 'classes' and 'axes'"),
    ],
)
def test_a_wrong_hierarchy_is_refused_with_its_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Hierarchy.from_dict(PETS | change)


def test_a_hierarchy_is_a_mapping() -> None:
    with pytest.raises(ValueError, match="hierarchy: expected a mapping with text keys, got list"):
        Hierarchy.from_dict([])


def test_an_axis_refuses_an_index_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"expected indices from -1 to 0, got \[1\]"):
        Axis("kind", ("animal",), (0, 1))


def test_an_axis_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one entry for each of 1 classes, got 2"):
        Hierarchy(("cat",), (Axis("kind", ("animal",), (0, 0)),))
