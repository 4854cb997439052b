"""The messages that the source can give, read off its text: each as a pattern, with the exit code where it shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from docs.tools.commands import error_kinds
from tests.docs.markdown_files import ROOT

_SOURCES = ("hkd_edge", "export/hkd_edge_export", "runtime/hkd_edge_runtime")
# A pattern with fewer letters of its own would match what it does not mean.
_FEWEST_LETTERS = 20
_CODES = {kind.__name__: kind.exit_code for kind in error_kinds()}


@dataclass(frozen=True)
class Message:
    """A text of the source; `exit_code` is None unless it is raised where it stands."""

    pattern: re.Pattern[str]
    letters: int
    exit_code: int | None
    place: str


@cache
def messages() -> tuple[Message, ...]:
    """All of them."""
    return tuple(found for folder in _SOURCES for path in sorted((ROOT / folder).rglob("*.py")) for found in _in(path))


def message_like(text: str) -> list[Message]:
    """The messages that `text` may be one of."""
    return [message for message in messages() if message.pattern.fullmatch(text)]


def _in(path: Path) -> Iterator[Message]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    codes = {id(text): code for node in ast.walk(tree) for text, code in _raised(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.Constant | ast.BinOp):
            parts = list(_parts(node))
            letters = sum(len(part) for part in parts if part is not None)
            if letters >= _FEWEST_LETTERS:
                regex = "".join(
                    ".*" if part is None else re.escape(part.lstrip("\n").replace("\n", " ")) for part in parts
                )
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield Message(re.compile(regex, re.DOTALL), letters, codes.get(id(node)), place)


def _raised(node: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        kind = ast.unparse(node.exc.func).rpartition(".")[2]
        if kind in _CODES:
            yield from ((argument, _CODES[kind]) for argument in node.exc.args)


def _parts(node: ast.AST) -> Iterator[str | None]:
    """The text of a string, None for what is put in."""
    if isinstance(node, ast.Constant):
        yield node.value if isinstance(node.value, str) else None
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            yield from _parts(value)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _parts(node.left)
        yield from _parts(node.right)
    else:
        yield None
