"""The wording of what is wrong with a recipe: what was expected, what arrived, what is typical.

The expectation is read from the schema and not from pydantic's error, so that a message states all limits of
a key and not only the one that was broken.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import ErrorDetails

from hkd_edge.recipe.located_yaml import Document, Keys, Problem, dotted, printable
from hkd_edge.recipe.outline import keys_of, node_at
from hkd_edge.recipe.rules import broken_rules
from hkd_edge.recipe.section import BROKEN_RULES
from hkd_edge_runtime.errors import did_you_mean

ROOT = "recipe"
_LONGEST_SHOWN = 60  # characters of a text that a message repeats
_LIMITS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def find_problems(document: Document, errors: Iterable[ErrorDetails]) -> Iterator[Problem]:
    """Everything wrong with the recipe in `document`, on which pydantic found `errors`."""
    for error in errors:
        if error["type"] != BROKEN_RULES:  # they are found again below, where other errors cannot hide them
            yield _problem(document, error)
    if isinstance(document.value, dict):
        for keys, text in broken_rules(document.value):
            yield Problem(document.place_of(keys), dotted(ROOT, keys), text)


def _problem(document: Document, error: ErrorDetails) -> Problem:
    keys: Keys = error["loc"]
    match error["type"]:
        case "extra_forbidden":
            text = _unknown_key(keys)
        case "missing":
            text = f"missing, expected {expectation(node_at(keys))}.{_hint(node_at(keys))}"
        case _:
            found = error["input"]
            text = f"expected {expectation(node_at(keys))}, got {shown(found)}.{_hint(node_at(keys), found)}"
    return Problem(document.place_of(keys), dotted(ROOT, keys), text)


def _unknown_key(keys: Keys) -> str:
    choices = keys_of(node_at(keys[:-1]))
    return f"unknown key.{did_you_mean(str(keys[-1]), choices)} Valid keys: {', '.join(choices)}."


def _hint(node: dict[str, Any], found: object = None) -> str:
    """The nearest choice to what was `found`, or the typical values."""
    if "enum" in node:
        return did_you_mean(str(found), node["enum"])
    return f" Typical values are {node['typical']}." if "typical" in node else ""


def expectation(node: dict[str, Any]) -> str:
    """`a number > 0 and < 1`, `one of "a", "b"`, ..., from a node of the schema."""
    noun = node.get("expected") or _noun(node)
    nouns = [noun, *map(expectation, node.get("others", ()))]
    return " or ".join(["null", *nouns] if node.get("nullable") else nouns)


def _noun(node: dict[str, Any]) -> str:
    if "enum" in node:
        return "one of " + ", ".join(json.dumps(choice) for choice in node["enum"])
    match node["type"]:
        case "boolean":
            return "true or false"
        case "integer" | "number" if "minimum" in node and node["minimum"] == node.get("maximum"):
            return f"the number {node['minimum']}"
        case "integer":
            return f"a whole number{_limits(node)}"
        case "number":
            return f"a number{_limits(node)}"
        case "array":
            least = " of at least one entry" if node.get("minItems") else ""
            return f"a list{least}, each {expectation(node['items'])}"
        case "object":
            return f"a section with the keys {', '.join(keys_of(node))}"
        case _:
            return "a path" if node.get("format") == "path" else "text"


def _limits(node: dict[str, Any]) -> str:
    limits = [f"{sign} {node[limit]}" for limit, sign in _LIMITS.items() if limit in node]
    return f" {' and '.join(limits)}" if limits else ""


def shown(value: object) -> str:
    """`value` as YAML would have it, shortened."""
    match value:
        case None | bool():
            return json.dumps(value)
        case dict():
            return "a section" if value else "an empty section"
        case list():
            return "a list" if value else "an empty list"
        case float() if not math.isfinite(value):
            return f"{value}, which is not finite"
        case str():
            short = value if len(value) <= _LONGEST_SHOWN else value[: _LONGEST_SHOWN - 1] + "…"
            return printable(json.dumps(short, ensure_ascii=False))
        case _:
            return str(value)
