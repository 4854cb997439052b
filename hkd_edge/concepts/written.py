"""A suggestion as a YAML file to edit: one class a line, and why they stand together in comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from hkd_edge.concepts.suggest import Evidence, SuggestedAxis, Suggestion
from hkd_edge.recipe.located_yaml import parse_yaml, printable

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 /_.+-]*(?<! )")
_LISTED_PAIRS = 3
_WIDTH = 110


def to_yaml(suggestion: Suggestion) -> str:
    """The file's text; `load_hierarchy` reads it as it is."""
    return "\n".join([*_head(suggestion), "axes:", *_axes(suggestion)]) + "\n"


def quoted(text: str) -> str:
    """`text` as a value in YAML that is read as this text and nothing else.

    >>> quoted("Ankle boot"), quoted("7"), quoted("no: way"), quoted("true")
    ('Ankle boot', '"7"', '"no: way"', '"true"')
    """
    if _PLAIN.fullmatch(text) and _reads_as(text) == text and text.lower() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


_WORDS = ("yes", "no", "on", "off", "y", "n")  # text here, but true and false to other tools


def _reads_as(text: str) -> object:
    document = parse_yaml(text, "", "")
    return None if document is None else document.value


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"


def _head(suggestion: Suggestion) -> Iterator[str]:
    yield from _comment(
        "", "Groups that `hkd-edge concepts suggest` found, to be edited: give them names, move classes."
    )
    yield from _comment("", f"From {suggestion.evidence.source}.")
    for caution in suggestion.cautions:
        yield from _comment("", f"Caution: {caution}")
    yield from _comment("", "`hkd-edge concepts check FILE` judges it; a recipe takes it as concepts.hierarchy.")


def _axes(suggestion: Suggestion) -> Iterator[str]:
    for axis in suggestion.axes:
        yield from _comment("  ", f"By {in_words(axis)}.")
        yield f"  {axis.name}:"
        for number, group in enumerate(axis.groups, start=1):
            yield from _comment("    ", _why(axis, group, suggestion.evidence))
            yield f"    group_{number}:"
            yield from (f"      - {quoted(name)}" for name in group)


def in_words(axis: SuggestedAxis) -> str:
    """How the axis came about: tree, number of groups, heights."""
    count = len(axis.groups)
    low, high = axis.tree.span(count)
    reason = "the number that lasts longest" if axis.chosen else "as many as were asked for"
    return (
        f"{axis.method}; {count} groups, {reason}: from height {low:.2f} to {high:.2f}; "
        f"silhouette {axis.tree.silhouette(count):.2f}"
    )


def other_counts(axis: SuggestedAxis, most: int = 8) -> str:
    """Other numbers of groups with their silhouettes, for who wants to choose."""
    counts = [count for count in range(2, len(axis.tree.classes)) if count != len(axis.groups)][:most]
    return ", ".join(f"{count} ({axis.tree.silhouette(count):.2f})" for count in counts) or "none"


def _why(axis: SuggestedAxis, group: Sequence[str], evidence: Evidence) -> str:
    if len(group) == 1:
        return "Alone: like no other class."
    together = f"Together from height {axis.tree.complete_at(group):.2f} on"
    if axis.tree.linkage == "ward":  # made of embeddings: confusions are not why these classes stand together
        return f"{together}."
    pairs = "; ".join(f"{a} and {b} {share:.1%}" for a, b, share in confused(group, evidence))
    return f"{together}; most confused: {pairs}."


def confused(group: Sequence[str], evidence: Evidence, most: int = _LISTED_PAIRS) -> list[tuple[str, str, float]]:
    """The pairs of a group that are confused most, with the mean probability that either is given to the other."""
    places = {name: index for index, name in enumerate(evidence.classes)}
    both = np.asarray(evidence.confusions + evidence.confusions.T) / 2
    pairs = [(a, b, float(both[places[a], places[b]])) for a, b in combinations(group, 2)]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:most]


def _comment(indent: str, text: str) -> list[str]:
    return textwrap.wrap(printable(text), _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
