"""`--set distill.temperature=4`: values of a recipe that are given on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hkd_edge.recipe.architecture import spelt_out
from hkd_edge.recipe.located_yaml import (
    Document,
    Keys,
    Place,
    Problem,
    UnreadableYaml,
    dotted,
    parse_yaml,
    printable,
)
from hkd_edge.recipe.outline import all_keys, keys_of, node_at
from hkd_edge.recipe.problems import ROOT
from hkd_edge_runtime.errors import did_you_mean


def apply_overrides(document: Document, overrides: Iterable[str]) -> Document:
    """`document` with each KEY=VALUE of `overrides` put in, the later over the earlier.

    KEY is a dotted path that the schema knows, VALUE is YAML. What cannot be put in becomes a problem of the
    document, and what is wrong with a value is later blamed on its option, not on a line of the file.
    """
    for override in overrides:
        document = _apply(document, override)
    return document


def _apply(document: Document, override: str) -> Document:
    place = Place(printable(f"--set {override}"))
    name, equals, text = override.partition("=")
    name = name.strip()
    if not equals:
        return _with_problem(document, place, "expected KEY=VALUE, got no =. For example: --set distill.temperature=4")
    if name not in all_keys():
        return _with_problem(document, place, _unknown(name))
    try:
        given = parse_yaml(text, place.source, ROOT)
    except UnreadableYaml as unreadable:
        return _with_problem(document, place, unreadable.problem.text)
    if given is None:
        return _with_problem(document, place, "expected a value after =, got none. For no value write null.")
    keys: Keys = tuple(name.split("."))
    problems = tuple(Problem(place, dotted(ROOT, keys), problem.text) for problem in given.problems)
    places = {known: at for known, at in document.places.items() if known[: len(keys)] != keys}
    begun = {keys[:n]: place for n in range(1, len(keys)) if keys[:n] not in places}
    value = _put(document.value, keys, _from_here(keys, given.value))
    return Document(value, {**places, **begun, keys: place}, document.problems + problems)


def _unknown(name: str) -> str:
    ends = [key for key in all_keys() if key.endswith(f".{name}")]
    near = did_you_mean(ends[0] if ends else name, all_keys())
    section = tuple(name.split(".")[:-1])
    while section and not (".".join(section) in all_keys() and keys_of(node_at(section))):
        section = section[:-1]
    return f"unknown key.{near} Valid keys in {dotted(ROOT, section)}: {', '.join(keys_of(node_at(section)))}."


def _with_problem(document: Document, place: Place, text: str) -> Document:
    return Document(document.value, document.places, (*document.problems, Problem(place, "", text)))


def _put(section: Any, keys: Keys, value: Any) -> Any:
    """`section` with `value` at `keys`, copied on the way; sections that are null on the way are begun.

    Where something else than a section is in the way it stays, and is reported as what it is.
    """
    if not keys:
        return value
    section = spelt_out(section)
    if section is not None and not isinstance(section, dict):
        return section
    inner = section or {}
    return {**inner, keys[0]: _put(inner.get(keys[0]), keys[1:], value)}


def _from_here(keys: Keys, value: Any) -> Any:
    """A relative path starts from where the command was typed, as everywhere on a command line."""
    node = node_at(keys)
    if node.get("format") == "path" and isinstance(value, str) and value and value not in node.get("words", ()):
        return str(Path.cwd() / Path(value).expanduser())
    return value
