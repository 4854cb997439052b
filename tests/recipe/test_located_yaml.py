from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hkd_edge.errors import RecipeError
from hkd_edge.recipe import load_recipe
from hkd_edge.recipe.located_yaml import UnreadableYaml, dump_yaml, parse_yaml

SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(max_size=8)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
)


def read(text: str) -> object:
    document = parse_yaml(text, "x.yaml", "recipe")
    assert document is not None
    assert document.problems == ()
    return document.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("5E3", 5000.0),
        (".5", 0.5),
        ("010", 10),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("True", True),
        ("-.inf", -math.inf),
        ("0x10", "0x10"),
        ("'1'", "1"),
    ],
)
def test_plain_values_are_read_as_in_yaml_1_2(text, value):
    assert read(text) == value
    assert type(read(text)) is type(value)


def test_a_number_of_thousands_of_digits_is_read():
    assert read("9" * 5000) == math.inf


def test_keys_are_always_names():
    assert read("{0: a, true: b}") == {"0": "a", "true": "b"}


def test_every_key_and_entry_knows_its_line():
    document = parse_yaml("a:\n  b:\n    - 1\n    - 2\n", "x.yaml", "recipe")
    assert {keys: place.line for keys, place in document.places.items()} == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", 0): 3,
        ("a", "b", 1): 4,
    }


def test_what_is_missing_is_where_its_section_is():
    document = parse_yaml("a: 1\nb:\n  c: 1\n", "x.yaml", "recipe")
    assert str(document.place_of(("b", "d", "e"))) == "x.yaml:2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [1\n", "x.yaml:3: not valid YAML: while parsing a flow sequence, expected ',' or ']'"),
        (
            "a: 1\n\tb: 2\n",
            "x.yaml:2: not valid YAML: while scanning for the next token, found character '\\t'",
        ),
        ("a: 1\n---\nb: 1\n", "x.yaml:2: not valid YAML: expected a single document in the stream"),
        ("a: &x [1]\nb: *x\n", "x.yaml:2: not valid YAML: aliases are not read here, write the value out."),
        ("a: !!python/name:os.system x\n", "x.yaml:1: not valid YAML: tags are not read here, leave it out."),
        ("a: !!int x\n", "x.yaml:1: not valid YAML: tags are not read here"),
        ("a: 1\nb: \x00\n", "x.yaml:2: not valid YAML: special characters are not allowed."),
        ("[" * 5000, "x.yaml: expected a few levels of nesting, got many."),
    ],
)
def test_text_that_is_not_yaml_is_one_problem_with_its_line(write, text, expected):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(text))
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf_8_is_named_with_the_line(write):
    with pytest.raises(
        RecipeError, match=r"^x\.yaml:2: expected UTF-8 text, got other bytes\. Save the file as UTF-8\.$"
    ):
        load_recipe(write("version: 1\nname: café\n".encode("latin-1")))


def test_a_byte_order_mark_is_no_problem(write, small):
    assert load_recipe(write(b"\xef\xbb\xbf" + Path(small).read_bytes())).name == "small"


def test_a_list_cannot_be_a_key():
    document = parse_yaml("a:\n  ? [1]\n  : 2\n", "x.yaml", "recipe")
    assert [str(problem) for problem in document.problems] == [
        "x.yaml:2: recipe.a: expected a name as the key, got a list or a section."
    ]


@settings(max_examples=50, deadline=None)
@given(DATA)
def test_what_is_dumped_is_read_back(value):
    assert read(dump_yaml({"value": value})) == {"value": value}


@settings(max_examples=50, deadline=None)
@given(DATA)
def test_what_is_dumped_means_the_same_to_other_tools(value):
    assert yaml.safe_load(dump_yaml({"value": value})) == {"value": value}


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    with suppress(UnreadableYaml):
        parse_yaml(text, "x.yaml", "recipe")
