"""All commands by their paths."""

from __future__ import annotations

from collections.abc import Iterator

import click

from hkd_edge.cli import cli


def _all(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _all(below, f"{path} {name}")


COMMANDS = dict(_all(cli, "hkd-edge"))
