"""Examples go into the help as they are, and can be read off it again."""

from __future__ import annotations

import click

from hkd_edge.command_help import example_lines, examples


def test_examples_are_read_off_a_command_as_they_were_given() -> None:
    lines = ("hkd-edge a b   # does this", "hkd-edge c")
    assert example_lines(click.Command("x", epilog=examples(*lines))) == lines


def test_a_command_without_examples_has_none() -> None:
    assert example_lines(click.Command("x")) == ()


def test_long_examples_are_not_wrapped() -> None:
    line = "hkd-edge " + "word " * 40 + "end"
    command = click.Command("x", epilog=examples(line))
    assert line in command.get_help(click.Context(command))
