"""What the README tells people to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from hkd_edge.cli import cli
from hkd_edge.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(?:\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
LINES = [line.partition("#")[0].strip() for block in BLOCKS for line in block.splitlines()]


def lines_of(program: str) -> list[str]:
    return sorted({line for line in LINES if line.startswith(f"{program} ")})


@pytest.mark.parametrize("line", lines_of("hkd-edge"))
def test_commands_of_the_readme_are_understood(line: str) -> None:
    words = shlex.split(line.partition(" > ")[0])[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        name = words.pop(0)
        assert name in command.commands, line
        command = command.commands[name]
    command.make_context(line, words)


@pytest.mark.parametrize("line", [*lines_of("hkd-edge run"), *lines_of("hkd-edge distill")])
def test_recipes_of_the_readme_load(line: str) -> None:
    recipe = shlex.split(line)[2]
    if recipe.startswith("recipes/") or "/" not in recipe:
        load_recipe(str(ROOT / recipe) if "/" in recipe else recipe)


@pytest.mark.parametrize("line", lines_of("make"))
def test_make_targets_of_the_readme_exist(line: str) -> None:
    assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_readme_has_its_two_commands() -> None:
    assert {"make run", "make test"} <= set(lines_of("make"))


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", README):
        assert (ROOT / target).exists(), target
