"""What the shell may complete, and `hkd-edge completion`. All of it answers before a heavy package is imported."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem, get_completion_class

from hkd_edge.command_help import examples
from hkd_edge.places import is_run, list_recipes, list_studies
from hkd_edge_runtime.targets import ALIASES, TARGETS

PROGRAM = "hkd-edge"
VARIABLE = "_HKD_EDGE_COMPLETE"  # where click looks for the shell's question to a program of this name
PRECISIONS = ("fp32", "fp16", "int8")
_RUNS = "runs/"  # where a run is made unless -o says otherwise
_AUTO = "auto"
_Items: TypeAlias = "list[CompletionItem[str]]"  # as text, since click 8.1 knows no parameter of it


@click.command(
    epilog=examples(
        'eval "$(hkd-edge completion bash)"                        # a line for ~/.bashrc',
        'eval "$(hkd-edge completion zsh)"                         # a line for ~/.zshrc, behind compinit',
        "hkd-edge completion fish > ~/.config/fish/completions/hkd-edge.fish",
    )
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print the script by which SHELL completes commands, options, recipes, targets, runs and bundles."""
    kind = get_completion_class(shell)
    assert kind is not None  # click knows all three
    script = kind(click.get_current_context().find_root().command, {}, PROGRAM, VARIABLE).source()
    click.echo(script, nl=False)


def complete_recipe(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Recipes by name, and YAML files."""
    return _offered(incomplete, list_recipes(), _paths(incomplete, _is_yaml))


def complete_study(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Studies by name, and YAML files."""
    return _offered(incomplete, list_studies(), _paths(incomplete, _is_yaml))


def complete_run(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Run directories."""
    return _offered(incomplete, _paths(incomplete, is_run))


def complete_recipe_or_run(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Recipes by name, YAML files, run directories."""
    return _offered(incomplete, list_recipes(), _paths(incomplete, _is_yaml), _paths(incomplete, is_run))


def complete_bundle(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Folders of bundles, those of runs among them, and .hkd files."""
    return _offered(incomplete, _bundles(incomplete))


def complete_source(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """All that can be exported or validated: recipes, runs, bundles."""
    return complete_recipe_or_run(ctx, parameter, incomplete) + _items(incomplete, _bundles(incomplete))


def complete_target(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Targets, where `auto` is one too."""
    return _items(incomplete, (_AUTO, *TARGETS, *ALIASES))


def complete_precision(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Precisions, where `auto` is one too."""
    return _items(incomplete, (_AUTO, *PRECISIONS))


def _offered(incomplete: str, *choices: Iterable[str]) -> _Items:
    """What of `choices` begins with `incomplete`; if nothing does, the shell's own completion of files."""
    found = [item for each in choices for item in _items(incomplete, each)]
    return found or [CompletionItem(incomplete, type="file")]


def _items(incomplete: str, choices: Iterable[str]) -> _Items:
    return [CompletionItem(choice) for choice in choices if choice.startswith(incomplete)]


def _bundles(incomplete: str) -> list[str]:
    of_runs = [f"{run}/bundle" for run in _paths(incomplete, is_run)]
    return [*_paths(incomplete, _is_bundle), *(path for path in of_runs if _is_bundle(Path(path)))]


def _paths(incomplete: str, is_wanted: Callable[[Path], bool]) -> list[str]:
    """The wanted paths that begin with `incomplete`; those in the folder of runs as soon as it can be meant."""
    begins = {incomplete, _RUNS} if _RUNS.startswith(incomplete) else {incomplete}
    # Path.glob would drop a leading ./ and what is offered must begin with what was typed.
    paths = sorted(path for begin in begins for path in glob.glob(f"{glob.escape(begin)}*"))  # noqa: PTH207
    # Shells take a completed word as it is, so one with a space in it would become two arguments.
    return [path for path in paths if not any(map(str.isspace, path)) and is_wanted(Path(path))]


def _is_yaml(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml")


def _is_bundle(path: Path) -> bool:
    return path.suffix == ".hkd" or (path / "manifest.json").is_file()
