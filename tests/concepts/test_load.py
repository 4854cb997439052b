from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hkd_edge.concepts import load_hierarchy
from hkd_edge.errors import HierarchyError

CLASSES = ("Coat", "Shirt", "Sandal", "Sneaker", "Bag", "7")
GOOD = """\
axes:
  kind:
    tops: [Coat, Shirt]
    footwear: [Sandal, Sneaker]
  sleeves: {long: [Coat], short: [Shirt]}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes h.yaml into the current folder, which is an empty one."""
    monkeypatch.chdir(tmp_path)

    def _write(text: str) -> Path:
        path = tmp_path / "h.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


@pytest.fixture
def complaint(write: Callable[[str], Path]) -> Callable[[str], list[str]]:
    """The lines of what a hierarchy is told."""

    def _complaint(text: str) -> list[str]:
        with pytest.raises(HierarchyError) as caught:
            load_hierarchy(write(text), CLASSES)
        return str(caught.value).splitlines()

    return _complaint


def test_concepts_keep_their_order_and_unnamed_classes_are_silent(write):
    kind, sleeves = load_hierarchy(write(GOOD), CLASSES).axes
    assert (kind.name, kind.concepts, kind.class_to_concept) == (
        "kind",
        ("tops", "footwear"),
        (0, 0, 1, 1, -1, -1),
    )
    assert (sleeves.name, sleeves.concepts) == ("sleeves", ("long", "short"))
    assert sleeves.class_to_concept == (0, 1, -1, -1, -1, -1)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "[Coat, Shirt]",
            "[Coat, Shirt, Sandal]",
            "h.yaml:4: hierarchy.axes.kind.footwear[0]: expected each class in one concept of an axis, got 'Sandal', "
            "which is in 'tops' too.",
        ),
        (
            "[Coat, Shirt]",
            "[Coat, Coat]",
            "h.yaml:3: hierarchy.axes.kind.tops[1]: expected each class in one concept of an axis, got 'Coat', "
            "which is in 'tops' too.",
        ),
        (
            "[Coat, Shirt]",
            "[Coat, Shrt]",
            "h.yaml:3: hierarchy.axes.kind.tops[1]: unknown class 'Shrt'. Did you mean 'Shirt'? "
            "Classes: Coat, Shirt, Sandal, Sneaker, Bag, 7.",
        ),
        (
            "[Coat, Shirt]",
            "[Coat, 7]",
            "h.yaml:3: hierarchy.axes.kind.tops[1]: expected the name of a class, got 7. Write it in quotes.",
        ),
        (
            "[Coat, Shirt]",
            "[Coat, [Shirt]]",
            "h.yaml:3: hierarchy.axes.kind.tops[1]: expected the name of a class, got a list.",
        ),
        (
            "[Coat, Shirt]",
            "[]",
            "h.yaml:3: hierarchy.axes.kind.tops: expected a list of at least one class, got an empty list.",
        ),
        (
            "[Coat, Shirt]",
            "Coat",
            'h.yaml:3: hierarchy.axes.kind.tops: expected a list of at least one class, got "Coat".',
        ),
        (
            "footwear:",
            "tops:",
            "h.yaml:4: hierarchy.axes.kind.tops: expected each key once, got it again after line 3.",
        ),
        (
            ", short: [Shirt]",
            "",
            "h.yaml:5: hierarchy.axes.sleeves: expected at least 2 concepts, got 1: one alone tells no classes apart.",
        ),
        (
            "{long: [Coat], short: [Shirt]}",
            "[Coat]",
            "h.yaml:5: hierarchy.axes.sleeves: expected concepts, each with a list of its classes, got a list.",
        ),
        (
            "footwear:",
            '"foot\\awear":',
            "h.yaml:4: hierarchy.axes.kind.foot\\x07wear: expected a name that can be printed, got 'foot\\x07wear'.",
        ),
        (
            "sleeves:",
            '"":',
            "h.yaml:5: hierarchy.axes.: expected a name that can be printed, got ''.",
        ),
        (
            "axes:",
            "axis: 1\naxes:",
            "h.yaml:1: hierarchy.axis: unknown key. Did you mean 'axes'? Valid keys: axes.",
        ),
    ],
)
def test_an_inconsistency_is_told_with_its_place(complaint, old, new, expected):
    assert old in GOOD
    assert expected in complaint(GOOD.replace(old, new))


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("axes: {}\n", "an empty section"),
        ("axes:\n", "null"),
        ("axes: [a]\n", "a list"),
        ("{}\n", "no such key"),
    ],
)
def test_a_hierarchy_needs_an_axis(complaint, text, got):
    assert complaint(text) == [
        f"h.yaml:1: hierarchy.axes: expected at least one axis, such as kind: {{a: [...], b: [...]}}, got {got}."
    ]


def test_a_list_is_no_hierarchy(complaint):
    assert complaint("- a\n") == ["h.yaml:1: hierarchy: expected a section with the key axes, got a list."]


def test_all_inconsistencies_are_told_at_once_from_top_to_bottom(complaint):
    text = "axes:\n  a:\n    x: [Coat, Hat]\n    y: [Coat]\n  b:\n    x: []\nmore: 1\n"
    assert [line.split(":")[1] for line in complaint(text)] == ["3", "4", "5", "6", "7"]


def test_a_class_in_three_concepts_is_told_twice(complaint):
    told = complaint("axes: {a: {x: [Coat], y: [Coat], z: [Coat]}}\n")
    assert [line.split(": ")[1] for line in told] == ["hierarchy.axes.a.y[0]", "hierarchy.axes.a.z[0]"]


def test_many_classes_are_listed_in_part(write):
    path = write("axes: {a: {x: [nobody], y: ['1']}}\n")
    with pytest.raises(HierarchyError, match=r"Classes: 0, 1, .*, 19 and 980 more\.$"):
        load_hierarchy(path, [str(number) for number in range(1000)])


def test_a_missing_hierarchy_is_named(write, tmp_path):
    write(GOOD)
    with pytest.raises(HierarchyError, match=r"^none\.yaml: expected a hierarchy file, got an error: No such file"):
        load_hierarchy(tmp_path / "none.yaml", CLASSES)


def test_an_empty_hierarchy_is_refused(complaint):
    assert complaint("") == ["h.yaml: expected a hierarchy, got an empty file."]


def test_repeated_classes_are_a_programmer_s_mistake(write):
    with pytest.raises(ValueError, match="unique names"):
        load_hierarchy(write(GOOD), (*CLASSES, "Coat"))
