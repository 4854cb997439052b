from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hkd_edge.recipe import recipe_schema
from hkd_edge.recipe.outline import all_keys, keys_of, node_at


def sections() -> Iterator[tuple[str, dict[str, Any]]]:
    schema = recipe_schema()
    yield "Recipe", schema
    yield from schema["$defs"].items()


@pytest.mark.parametrize(
    ("name", "section"), list(sections()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_editors_are_told_of_every_key_and_of_no_other(name, section):
    assert section["additionalProperties"] is False
    for key, node in section["properties"].items():
        assert "description" in node or "$ref" in node, f"{name}.{key}"


def test_the_schema_is_json_and_names_its_dialect():
    assert json.loads(json.dumps(recipe_schema()))["$schema"].endswith("2020-12/schema")


def test_typical_values_stand_in_the_description():
    assert node_at(("distill", "temperature"))["description"].endswith("Typical values are 1 to 10.")


def test_the_schema_given_out_is_a_copy():
    recipe_schema()["properties"].clear()
    assert recipe_schema()["properties"]


def test_the_top_keys_are_those_of_the_documentation():
    assert keys_of(node_at(())) == (
        *("version", "name", "seed", "device", "precision", "data", "concepts", "augment", "teacher"),
        *("task_teacher", "student", "distill", "export", "validate", "bundle", "tracking"),
    )


def test_every_key_can_be_looked_up():
    for key in all_keys():
        assert node_at(tuple(key.split(".")))["description"].endswith(".")


def test_what_no_recipe_has_cannot_be_looked_up():
    with pytest.raises(KeyError):
        node_at(("distill", "temprature"))
