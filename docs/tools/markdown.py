"""Markdown as a code host reads it: links, anchors of headings, blocks of code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)
_INLINE_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
# [text](target); the text may hold one pair of brackets, as that of a badge does.
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)")
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


@dataclass(frozen=True)
class Block:
    """A fenced block of code; `language` is what follows the fence, `line` that of its first line (from 1)."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Link:
    """A link; `path` and `anchor` are the two parts of its target, either may be empty."""

    path: str
    anchor: str
    line: int

    @property
    def is_external(self) -> bool:
        """Whether it leads out of the repository, as `https:` and `mailto:` do."""
        return bool(_EXTERNAL.match(self.path))


def code_blocks(text: str) -> list[Block]:
    """The fenced blocks of `text`, without the indentation of their fences."""
    return [
        Block(
            found["language"],
            "".join(line.removeprefix(found["indent"]) for line in found["text"].splitlines(keepends=True)),
            _line(text, found.start("text")),
        )
        for found in _FENCE.finditer(text)
    ]


def links(text: str) -> list[Link]:
    """The inline links of `text`, those in code left out.

    >>> [(link.path, link.anchor) for link in links("[a](b.md#c) `[not](this)`")]
    [('b.md', 'c')]
    """
    prose = without_code(text)
    return [_link(found[2], _line(prose, found.start())) for found in _LINK.finditer(prose)]


def _link(target: str, line: int) -> Link:
    path, _, anchor = target.partition("#")
    return Link(path, anchor, line)


def replace_links(text: str, replaced: Callable[[str], str]) -> str:
    """`text` with the target of each of its links, those in code left alone, as `replaced` gives it."""
    pieces, end = [], 0
    for found in _LINK.finditer(without_code(text)):
        pieces += [text[end : found.start(2)], replaced(found[2])]
        end = found.end(2)
    return "".join([*pieces, text[end:]])


def without_code(text: str) -> str:
    """`text` with its code blanked out; all that remains keeps its place."""
    return _INLINE_CODE.sub(_blank, _FENCE.sub(_blank, text))


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def headings(text: str) -> list[str]:
    """The titles of the headings of `text`, as they are written."""
    prose = _FENCE.sub(_blank, text)
    return [found[2] for found in _HEADING.finditer(prose)]


def anchors(text: str) -> set[str]:
    """The anchors that a code host gives the headings of `text`; repeated ones get -1, -2, ..."""
    return set(_numbered(map(anchor, headings(text))))


def anchor(title: str) -> str:
    """The anchor of one heading: lower case, hyphens for spaces, no punctuation but `-` and `_`.

    >>> anchor("What `load` *refuses*, and why")
    'what-load-refuses-and-why'
    """
    plain = _LINK.sub(r"\1", title).replace("`", "").replace("*", "")
    return "".join(sign for sign in plain.lower().replace(" ", "-") if sign.isalnum() or sign in "-_")


def _numbered(names: Iterator[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        yield f"{name}-{count}" if count else name


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
