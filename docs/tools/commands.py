"""docs/commands.md: the commands of both programs, read from the objects that parse them."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator

import click

import hkd_edge.errors
import hkd_edge_export.errors
import hkd_edge_runtime.errors
from hkd_edge.cli import cli
from hkd_edge.command_help import example_lines
from hkd_edge.completion import PROGRAM
from hkd_edge_runtime.__main__ import command_parser
from hkd_edge_runtime.errors import HkdEdgeError

_HEAD = """# Commands

The commands of the toolchain, [`hkd-edge`](#hkd-edge), and of the board's wrapper,
[`python -m hkd_edge_runtime`](#python--m-hkd_edge_runtime). `--help` says the same. RECIPE is a YAML file or the name
of a recipe that comes with hkd-edge, RUN the folder that a run has written, BUNDLE the folder `bundle` in it or an
`.hkd` file. What is computed goes to standard output, progress and errors to standard error.

## Exit codes

| code | error | when |
|---|---|---|
| 0 | | all was done |
"""
_USAGE = "| 2 | | the command line is wrong: an unknown command or option, or options that exclude each other |"
_INTERRUPTED = "| 130 | | interrupted by Ctrl-C; `--resume` goes on |"
_CODES_TAIL = """
An error is one message on standard error: what was expected, what arrived, what to do.
[troubleshooting.md](troubleshooting.md) has them by their texts. A traceback is a bug of ours.
"""
_COMPLETION = """## Shell completion

`hkd-edge completion bash|zsh|fish` prints the script by which your shell completes commands, options, names of recipes
and studies, targets, runs and bundles. In `~/.bashrc` or, behind `compinit`, in `~/.zshrc`:

```bash
eval "$(hkd-edge completion bash)"
```

For fish: `hkd-edge completion fish > ~/.config/fish/completions/hkd-edge.fish`.
"""
_COLUMNS = "| option | value | default | what it does |\n|---|---|---|---|"


def commands() -> str:
    """The page."""
    lines = [_HEAD + "\n".join(_exit_codes()), _CODES_TAIL, _COMPLETION]
    lines += _of_click(cli, PROGRAM)
    lines += _of_argparse(command_parser())
    return "\n".join(lines)


def error_kinds() -> tuple[type[HkdEdgeError], ...]:
    """Every error that a user can meet, over the three packages, by exit code and name."""
    modules = (hkd_edge.errors, hkd_edge_export.errors, hkd_edge_runtime.errors)
    named = {item for module in modules for item in vars(module).values() if isinstance(item, type)}
    kinds = [kind for kind in named if issubclass(kind, HkdEdgeError)]
    return tuple(sorted(kinds, key=lambda kind: (kind.exit_code, kind.__name__)))


def _exit_codes() -> Iterator[str]:
    rows = [
        (kind.exit_code, f"| {kind.exit_code} | `{kind.__name__}` | {_first_line(kind)} |") for kind in error_kinds()
    ]
    for _, row in sorted([*rows, (2, _USAGE), (130, _INTERRUPTED)], key=lambda row: row[0]):
        yield row


def _first_line(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


def _of_click(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[str]:
    ctx = click.Context(command, parent=parent, info_name=path.rpartition(" ")[2])
    yield f"## {path}\n"
    yield f"```text\n{' '.join([path, *command.collect_usage_pieces(ctx)])}\n```\n"
    yield f"{_flowing(command.help or '')}\n"
    if isinstance(command, click.Group):
        yield "| command | |\n|---|---|"
        for name in command.list_commands(ctx):
            below = command.commands[name]
            first = _flowing(below.help or "").partition("\n")[0]
            yield f"| [`{name}`](#{path.replace(' ', '-')}-{name}) | {_cell(first)} |"
        yield ""
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    if options:
        yield _COLUMNS
        yield from map(_option_row, options)
        yield ""
    yield "Examples:\n\n```bash"
    yield from example_lines(command)
    yield "```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            yield from _of_click(command.commands[name], f"{path} {name}", ctx)


def _option_row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    text = option.help or ""
    default = str(option.default) if option.show_default else ""
    if "[default: " in text:  # where the code works the default out itself, its help says so
        text, _, default = text.rstrip("]").partition("[default: ")
    repeatable = " Repeatable." if option.multiple and "epeatable" not in text else ""
    cells = (names, _value(option), default, f"{text.strip()}{repeatable}")
    return f"| {' | '.join(map(_cell, cells))} |"


def _value(option: click.Option) -> str:
    kind = option.type
    if option.is_flag:
        return ""
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{choice}`" for choice in kind.choices)
    noun = option.metavar or {"integer range": "integer", "float range": "number"}.get(kind.name, kind.name)
    return f"{noun}{_limits(kind)}"


def _limits(kind: object) -> str:
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return ""
    lower = "" if kind.min is None else f" {'>' if kind.min_open else '>='} {kind.min}"
    upper = "" if kind.max is None else f" {'<' if kind.max_open else '<='} {kind.max}"
    return " and".join(limit for limit in (lower, upper) if limit)


def _of_argparse(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {parser.prog}\n"
    yield f"{parser.description} On the board; more in [runtime/README.md](../runtime/README.md).\n"
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help for each in action._choices_actions}
            for name, below in action.choices.items():
                yield from _of_subparser(f"{parser.prog} {name}", below, str(helps[name]))


def _of_subparser(path: str, parser: argparse.ArgumentParser, text: str) -> Iterator[str]:
    actions = [action for action in parser._actions if action.dest != "help"]
    arguments = [
        f"{action.metavar}{'...' if action.nargs == '+' else ''}" for action in actions if _is_argument(action)
    ]
    yield f"### {path}\n"
    yield f"```text\n{' '.join([path, '[OPTIONS]', *arguments])}\n```\n"
    yield f"{text[0].upper()}{text[1:]}.\n"
    yield "| option | value | what it does |\n|---|---|---|"
    for action in actions:
        if not _is_argument(action):
            value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
            names = ", ".join(f"`{name}`" for name in action.option_strings)
            yield f"| {names} | {value} | {_cell(action.help or '')} |"
    yield ""


def _is_argument(action: argparse.Action) -> bool:
    return not action.option_strings


def _flowing(text: str) -> str:
    """A help text with each paragraph on one line."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
