"""What the commands share in their help: the order of the work, examples, a hint for a misspelt name."""

from __future__ import annotations

import click


class OrderedGroup(click.Group):
    """A group that names the nearest command for an unknown one and lists commands in the order of the work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from hkd_edge_runtime.errors import did_you_mean

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = did_you_mean(args[0], list(self.commands))
            raise click.UsageError(f"{error.message}{near}", ctx) from error


def examples(*lines: str) -> str:
    """The epilog by which a command's help ends: whole command lines, what one does behind a `#`.

    >>> print(examples("hkd-edge doctor").replace("\\b", "(as it is)"))
    (as it is)
    Examples:
      hkd-edge doctor
    """
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def example_lines(command: click.Command) -> tuple[str, ...]:
    """The lines that `command` was given by `examples`; none if it has no examples."""
    _, _, lines = (command.epilog or "").partition("Examples:\n")
    return tuple(line.strip() for line in lines.splitlines())
