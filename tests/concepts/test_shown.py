from __future__ import annotations

import io

from rich.console import Console

from hkd_edge.concepts.shown import plain, tree
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

HIERARCHY = Hierarchy(
    ("Coat", "[b]Shirt", "Boot"),
    (Axis("kind", ("tops", "shoes"), (0, 0, 1)), Axis("sleeves", ("long",), (0, -1, -1))),
)


def test_plain_text_is_axis_concept_class():
    assert plain(HIERARCHY) == (
        "kind\n  tops\n    Coat\n    [b]Shirt\n  shoes\n    Boot\n"
        "sleeves\n  long\n    Coat\n  (silent)\n    [b]Shirt\n    Boot"
    )


def test_without_axes_the_classes_are_shown():
    assert plain(Hierarchy(("a", "b"))) == "(no axes)\n  a\n  b"


def test_the_tree_shows_the_same_and_names_are_no_markup():
    stream = io.StringIO()
    Console(file=stream, width=80).print(tree(HIERARCHY, "fashion"))
    lines = [line.lstrip(" │├└─") for line in stream.getvalue().splitlines()]
    assert lines == ["fashion", *(line.strip() for line in plain(HIERARCHY).splitlines())]
