"""What the Markdown files tell people to type exists: commands, options, recipes, programs."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import tomllib
import yaml
from PIL import Image
from pydantic import TypeAdapter

from docs.tools.markdown import Block, code_blocks
from hkd_edge.cli import cli
from hkd_edge.command_help import example_lines
from hkd_edge.concepts.load import classes_named_in, load_hierarchy
from hkd_edge.recipe import Recipe, load_recipe
from hkd_edge.recipe.architecture import ArchitectureOrName
from hkd_edge.study.load import load_study
from hkd_edge.teachers.mapping import load_class_names, load_mapping
from hkd_edge_runtime import BundleError, MissingBackendError, load
from hkd_edge_runtime.__main__ import command_parser
from tests.docs.command_tree import COMMANDS
from tests.docs.markdown_files import MARKDOWN, ROOT, text_of

SHELL = ("", "bash", "sh")
# What separates one command from the next, or from the files that it reads and writes.
_ENDS = {"|", "&&", ";", ">", ">>", "<", "2>", "2>&1"}
_INLINE = re.compile(r"(?<!`)`(hkd-edge [^`]+)`(?!`)")
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_RUNTIME = tomllib.loads((ROOT / "runtime/pyproject.toml").read_text(encoding="utf-8"))["project"]


def blocks_in(*languages: str) -> Iterator[tuple[str, Block]]:
    for name in MARKDOWN:
        yield from ((name, block) for block in code_blocks(text_of(name)) if block.language in languages)


def shell_lines() -> Iterator[str]:
    """Each line that is to be typed, with those that it goes on with by a backslash."""
    for name, block in blocks_in(*SHELL):
        for line in block.text.replace("\\\n", " ").splitlines():
            yield f"{name}: {line.strip()}"


def typed(program: str) -> list[str]:
    return sorted({line for line in shell_lines() if line.partition(": ")[2].startswith(f"{program} ")})


def words_of(line: str) -> list[str]:
    """The words of a command, without its program, comment, redirections and what follows."""
    words = shlex.split(line.partition(": ")[2], comments=True)
    return list(takewhile(lambda word: word not in _ENDS, words))[1:]


def parse(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that `words` name, and what is left of them; groups take words that are not theirs as they do."""
    command: click.Command = cli
    ctx = click.Context(cli)
    while isinstance(command, click.Group) and words and words[0] != "--help":
        _, found, words = command.resolve_command(ctx, words)
        assert found is not None
        command = found
    return command, words


@pytest.mark.parametrize("line", typed("hkd-edge"))
def test_commands_are_understood(line: str) -> None:
    command, words = parse(words_of(line))
    command.make_context(line, words)


@pytest.mark.parametrize("path", COMMANDS)
def test_examples_of_the_help_are_understood(path: str) -> None:
    for line in example_lines(COMMANDS[path]):
        inner = re.sub(r'^eval "\$\((.*)\)".*', r"\1", line)
        command, words = parse(words_of(f"help: {inner}"))
        command.make_context(line, words)


@pytest.mark.parametrize("name", MARKDOWN)
def test_commands_inside_of_sentences_have_their_names_and_options(name: str) -> None:
    for text in _INLINE.findall(text_of(name)):
        words = list(takewhile(lambda word: word not in _ENDS, shlex.split(text)))[1:]
        for choice in _choices(words):
            command, rest = parse(choice)
            known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
            used = {word.partition("=")[0] for word in rest if word.startswith("-")}
            assert used <= known | {"--help"}, text


def _choices(words: list[str]) -> list[list[str]]:
    """`recipes list|show` is two commands; capitals stand for something: `COMMAND` for any, `RECIPE|RUN` for a word."""
    if words[:1] == ["COMMAND"]:
        return []
    for index, word in enumerate(words[:2]):
        if "|" in word and not word.isupper():
            return [[*words[:index], each, *words[index + 1 :]] for each in word.split("|")]
    return [words]


@pytest.mark.parametrize("line", [*typed("hkd-edge run"), *typed("hkd-edge distill"), *typed("hkd-edge teach")])
def test_recipes_that_come_with_hkd_edge_load(line: str) -> None:
    recipe = words_of(line)[1]
    if recipe.startswith("recipes/"):
        load_recipe(str(ROOT / recipe))
    elif "/" not in recipe and not recipe.endswith(".yaml"):
        load_recipe(recipe)


@pytest.mark.parametrize("line", typed("python -m hkd_edge_runtime"))
def test_commands_of_the_wrapper_are_understood(line: str) -> None:
    command_parser().parse_args(words_of(line)[2:])


@pytest.mark.parametrize("line", [line for line in typed("python") if "-m hkd_edge_runtime" not in line])
def test_programs_exist(line: str) -> None:
    words = words_of(line)
    if words[0] != "-m":
        assert (ROOT / words[0]).is_file()
    elif words[1] not in ("pytest", "venv", "pip"):
        module = ROOT / words[1].replace(".", "/")
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()


@pytest.mark.parametrize("line", typed("make"))
def test_make_targets_exist(line: str) -> None:
    assert re.search(rf"^{words_of(line)[0]}:", text_of("Makefile"), re.MULTILINE)


def test_the_readme_has_its_two_commands() -> None:
    assert {"README.md: make run", "README.md: make test"} <= {line.partition("  ")[0] for line in typed("make")}


@pytest.mark.parametrize("line", typed("pip install"))
def test_extras_exist(line: str) -> None:
    of_runtime = line.startswith("runtime/") or "runtime[" in line
    known = (_RUNTIME if of_runtime else _PROJECT)["optional-dependencies"]
    for extras in re.findall(r"(?:\.|hkd-edge|hkd-edge-runtime|runtime)\[([\w,-]+)\]", line):
        assert set(extras.split(",")) <= set(known)


PYTHON = list(blocks_in("python"))


@pytest.mark.parametrize(("name", "block"), PYTHON, ids=lambda each: getattr(each, "line", each))
def test_python_compiles(name: str, block: Block) -> None:
    compile(block.text, f"{name}:{block.line}", "exec")


# Not whole programs: the signatures of the API.
_NO_PROGRAMS = ("docs/runtime-api.md",)


@pytest.mark.parametrize("name", sorted({name for name, _ in PYTHON} - set(_NO_PROGRAMS)))
def test_python_runs_on_a_bundle(name: str, digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for bundle in ("bundle", "BUNDLE"):
        (tmp_path / bundle).symlink_to(digits_run / "bundle")
    for image in ("coat.png", "photo.jpg", "a.png", "b.png"):
        Image.fromarray(np.full((20, 16), 200, np.uint8)).save(tmp_path / image)
    monkeypatch.chdir(tmp_path)
    with load("bundle") as model:
        frames = [np.zeros(model.manifest.input.shape, np.uint8)] * 3
        # What the text around a snippet speaks of.
        around: dict[str, Any] = {"camera": lambda: iter(frames), "model": model, "answer": model.predict("coat.png")}
        for block in (block for page, block in PYTHON if page == name):
            run_block(name, block, around)
            around["model"] = model  # a snippet's own is closed at its end


def run_block(name: str, block: Block, around: dict[str, Any]) -> None:
    # The README speaks of Fashion-MNIST; the one axis of the digits has another name.
    code = compile(block.text.replace('"kind"', '"strokes"'), f"{name}:{block.line}", "exec")
    with contextlib.redirect_stdout(io.StringIO()) as told:
        try:
            exec(code, around)
        except (BundleError, MissingBackendError) as error:
            if '"tensorrt"' not in block.text:
                raise
            pytest.skip(f"needs TensorRT, a GPU and a bundle with files for it: {error}")
    assert ("print(" in block.text) == bool(told.getvalue())


YAML = list(blocks_in("yaml"))


@pytest.mark.parametrize(("name", "block"), YAML, ids=lambda each: getattr(each, "line", each))
def test_yaml_loads_as_what_it_is(name: str, block: Block, tmp_path: Path) -> None:
    value = yaml.safe_load(block.text)
    path = tmp_path / "x.yaml"
    if "search" in value:
        _load_study(f"{text_of('recipes/studies/digits_search.yaml').partition('methods:')[0]}{block.text}", path)
    elif "methods" in value:
        _load_study(block.text, path)
    elif "axes" in value and name == "docs/teachers.md":
        path.write_text(block.text, encoding="utf-8")
        groups = {axis: tuple(concepts) for axis, concepts in value["axes"].items()}
        assert load_mapping(path, groups, "concept", load_class_names("imagenet", 1000), 1000).sizes == (2,)
    elif "axes" in value:
        path.write_text(block.text, encoding="utf-8")
        load_hierarchy(path, classes_named_in(path))
    elif set(value) <= {field.alias or key for key, field in Recipe.model_fields.items()}:
        _load_part_of_a_recipe(value, path)
    else:
        assert all(set(student) == {"image", "architecture"} for student in value.values())
        for student in value.values():
            TypeAdapter(ArchitectureOrName).validate_python(student["architecture"])


def _load_study(text: str, path: Path) -> None:
    """Without the classes left out, for whose names the data set would be loaded."""
    path.write_text(re.sub(r"^unmet_classes: all", "unmet_classes: []", text, flags=re.MULTILINE), encoding="utf-8")
    assert load_study(path).cells


def _load_part_of_a_recipe(part: dict[str, Any], path: Path) -> None:
    """What is not in it comes from the recipe `digits`, without what needs its concepts."""
    whole = yaml.safe_load(text_of("recipes/digits.yaml"))
    del whole["teacher"]
    if "teacher" not in part:
        del whole["concepts"]
    whole["distill"]["weights"] = {"ce": 1.0}
    path.write_text(yaml.safe_dump({**whole, **part}), encoding="utf-8")
    load_recipe(str(path))
