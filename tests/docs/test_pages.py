"""The pages that are made from the code are what the code says, and the code says all that they need."""

from __future__ import annotations

import inspect
import re

import click
import pytest

from docs.tools.api import members, public_names
from docs.tools.markdown import headings
from docs.tools.pages import DOCS, PAGES
from hkd_edge.command_help import example_lines
from hkd_edge.recipe.outline import all_keys, node_at
from hkd_edge_runtime.errors import HkdEdgeError
from tests.docs.command_tree import COMMANDS


@pytest.mark.parametrize("name", PAGES)
def test_a_page_made_from_the_code_is_not_stale(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), f"docs/{name} is stale: python -m docs.tools.pages"


def test_the_recipe_reference_has_every_key() -> None:
    page = (DOCS / "recipe.md").read_text(encoding="utf-8")
    missing = [key for key in all_keys() if f"| `{key.rpartition('.')[2]}` |" not in page]
    assert not missing


def test_every_number_of_a_recipe_says_what_it_counts_or_measures() -> None:
    from hkd_edge.recipe.reference import recipe_reference

    rows = [line.split(" | ") for line in recipe_reference().splitlines() if line.startswith("| `")]
    silent = {row[0].strip("| `") for row in rows if re.search("a (whole )?number", row[1]) and row[1][-1] != ")"}
    factors = {
        "alpha",
        "beta",
        "head_decay",
        "zoom_fraction",
        "learning_rate",
        "momentum",
        "weight_decay",
        "ema_decay",
        "temperature",
        "expansion",
    }
    weights = set(node_at(("distill", "weights"))["properties"])
    assert silent <= factors | weights | {"version", "seed", "split_seed", "label_seed", "opset"}


def test_the_commands_page_has_every_command() -> None:
    assert set(COMMANDS) <= set(headings((DOCS / "commands.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_has_a_text_examples_and_help_for_each_option(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    assert example_lines(command)
    silent = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    assert not silent


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_of_a_command_ends_with_its_examples(path: str) -> None:
    command = COMMANDS[path]
    told = command.get_help(click.Context(command, info_name=path, max_content_width=110)).splitlines()
    examples = example_lines(command)
    assert [line.strip() for line in told[-len(examples) - 1 :]] == ["Examples:", *examples]
    assert any(path in line for line in examples)


PUBLIC = {f"{module}.{name}": item for module, name, item in public_names()}


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_name_of_the_runtime_is_described_with_all_its_members(path: str) -> None:
    item = PUBLIC[path]
    told = inspect.getdoc(item)
    assert told
    if isinstance(item, type) and not issubclass(item, HkdEdgeError):
        fields = {*getattr(item, "__dataclass_fields__", ()), *getattr(item, "_fields", ())}
        described = {member for member, _ in members(item)} | fields
        silent = {member for member in vars(item) if not member.startswith("_")} - described
        assert not [member for member in silent if f"{member}:" not in told and f"`{member}`" not in told]
