"""The recipe's JSON schema, for editors, and the same schema as what messages know about each key."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

from hkd_edge.recipe.located_yaml import Keys
from hkd_edge.recipe.schema import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of recipes, for editors that complete and check YAML."""
    return copy.deepcopy(_schema())


@functools.cache
def _schema() -> dict[str, Any]:
    return {"$schema": DIALECT, **Recipe.model_json_schema()}


def node_at(keys: Keys) -> dict[str, Any]:
    """What the schema says about the value at `keys`.

    References are followed. Of alternatives the node is the first, with `nullable`, whether null is one too, and
    `others`, the nodes of the rest.

    Raises:
        KeyError: if a recipe has no such value.
    """
    node = flat(_schema())
    for key in keys:
        node = flat(node["items"] if isinstance(key, int) else node["properties"][key])
    return node


def keys_of(node: dict[str, Any]) -> tuple[str, ...]:
    """The keys of a section; none if the node is a plain value."""
    return tuple(node.get("properties", ()))


@functools.cache
def all_keys() -> tuple[str, ...]:
    """The dotted path of every key, sections included."""
    return tuple(_walk(flat(_schema()), ""))


def _walk(node: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, inner in node.get("properties", {}).items():
        yield prefix + key
        yield from _walk(flat(inner), f"{prefix}{key}.")


def flat(node: dict[str, Any]) -> dict[str, Any]:
    """`node` with its reference followed, and `anyOf` turned into its first with `nullable` and `others`."""
    node = dict(node)
    if "anyOf" in node:
        options = node.pop("anyOf")
        first, *others = [option for option in options if option.get("type") != "null"]
        nullable = len(options) > 1 + len(others)
        return flat(first) | node | {"nullable": nullable, "others": [flat(other) for other in others]}
    if "$ref" in node:
        name = node.pop("$ref").removeprefix("#/$defs/")
        return flat(_schema()["$defs"][name]) | node
    return node
