"""YAML as plain data that remembers which line each value stands on.

A small, strict YAML: text, numbers, true/false, null, lists and mappings. Plain values are read as in YAML
1.2 (`no` is text, `1e-4` is a number; PyYAML's YAML 1.1 says the opposite of both). Keys are always names, so
always text. Tags and aliases are refused: a file is data that a person reads from top to bottom, and an alias
can also be made to expand without end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from hkd_edge_runtime.errors import HkdEdgeError

Keys: TypeAlias = tuple[str | int, ...]  # the way from the root to a value: names of mappings, positions in lists

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")


@dataclass(frozen=True)
class Place:
    """Where a value was written: a line (from 1) of a file, or, without a line, an option of the command."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it was written, its dotted path and a sentence."""

    place: Place
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.text}" if self.path else f"{self.place}: {self.text}"


@dataclass(frozen=True)
class Document:
    """YAML as plain data. `places` has the root `()` and every key and list entry that was written."""

    value: Any
    places: Mapping[Keys, Place]
    problems: tuple[Problem, ...] = ()

    def place_of(self, keys: Keys) -> Place:
        """Where the value at `keys` was written; for a missing one, where the section that lacks it was."""
        while keys not in self.places:
            keys = keys[:-1]
        return self.places[keys]


class UnreadableYaml(Exception):
    """The text is not YAML that can be read at all; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def dotted(root: str, keys: Keys) -> str:
    """`recipe.student.architecture.widths[0]` for the root `recipe`."""
    return root + "".join(f"[{key}]" if isinstance(key, int) else f".{printable(key)}" for key in keys)


def printable(text: str) -> str:
    """`text` with what could break a line or steer a terminal written as an escape."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def report(problems: Iterable[Problem]) -> str:
    """All problems, each once and on its own line: the file's from top to bottom, then those of options."""
    unique = dict.fromkeys(problems)
    ordered = sorted(unique, key=lambda p: (p.place.line is None, p.place.line or 0))
    return "\n".join(str(problem) for problem in ordered)


def read_document(path: Path, *, root: str, noun: str, error: type[HkdEdgeError]) -> Document:
    """The file at `path`, whose messages call it a `noun` (`recipe`) and its values `root`.key.

    Raises:
        error: if there is no such file, or if it is empty, not UTF-8 or not YAML.
    """
    source = shown_path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as problem:
        found = problem.strerror or type(problem).__name__
        raise error(f"{source}: expected a {noun} file, got an error: {found}.") from problem
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        raise error(f"{source}:{line}: expected UTF-8 text, got other bytes. Save the file as UTF-8.") from problem
    try:
        document = parse_yaml(text, source, root)
    except UnreadableYaml as unreadable:
        raise error(str(unreadable)) from unreadable
    if document is None:
        raise error(f"{source}: expected a {noun}, got an empty file.")
    return document


def shown_path(path: Path) -> str:
    """`path` as messages name it: relative if it is inside the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def parse_yaml(text: str, source: str, root: str) -> Document | None:
    """`text` as data, or None if there is nothing in it. `source` and `root` name it in messages.

    Raises:
        UnreadableYaml: if the text is not YAML, or uses an alias or a tag.
    """
    try:
        node = _Loader(text).get_single_node()
        reader = _Reader(source, root)
        value = None if node is None else reader.read(node, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise UnreadableYaml(Problem(Place(source, line), "", f"not valid YAML: {reason}.")) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableYaml(Problem(Place(source, line), "", f"not valid YAML: {error.reason}.")) from error
    except RecursionError as error:
        raise UnreadableYaml(Problem(Place(source), "", "expected a few levels of nesting, got many.")) from error
    if node is None:
        return None
    return Document(value, {(): reader.place(node)} | reader.places, tuple(reader.problems))


def dump_yaml(value: Mapping[str, Any]) -> str:
    """`value` as YAML that this module, and YAML 1.1 tools too, read back as the same data.

    What is not ASCII is written escaped: PyYAML loses some line separators that it writes as they are.
    """
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=100)
    return text


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the plain values of YAML 1.2 and without aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's way

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs forget it
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases are not read here, write the value out", event)
        if getattr(event, "tag", None) is not None:
            raise _refusal("tags are not read here, leave it out", event)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def _refusal(reason: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=event.start_mark)


_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(_TAG + "int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver(_TAG + "float", _FLOAT, list("-+.0123456789"))


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which also quotes text that is a number in YAML 1.2 alone: `1e4`, `08`."""


_Dumper.add_representer(list, lambda dumper, value: dumper.represent_sequence(_TAG + "seq", value, True))
_Dumper.add_implicit_resolver(_TAG + "int", _INT, list("-+0123456789"))
_Dumper.add_implicit_resolver(_TAG + "float", _FLOAT, list("-+.0123456789"))


class _Reader:
    """Turns composed nodes into plain data, noting the place of every value and everything that is wrong."""

    def __init__(self, source: str, root: str) -> None:
        self.source = source
        self.root = root
        self.places: dict[Keys, Place] = {}
        self.problems: list[Problem] = []

    def place(self, node: yaml.Node) -> Place:
        return Place(self.source, node.start_mark.line + 1)

    def read(self, node: yaml.Node, keys: Keys) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return self._list(node, keys)
        return _plain(node.tag.removeprefix(_TAG), node.value)

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(key_node, keys, "expected a name as the key, got a list or a section.")
                continue
            inner = (*keys, key_node.value)
            if inner in self.places:
                first = self.places[inner].line
                self._complain(key_node, inner, f"expected each key once, got it again after line {first}.")
            else:
                self.places[inner] = self.place(key_node)
                found[key_node.value] = self.read(value_node, inner)
        return found

    def _list(self, node: yaml.SequenceNode, keys: Keys) -> list[Any]:
        self.places.update({(*keys, index): self.place(entry) for index, entry in enumerate(node.value)})
        return [self.read(entry, (*keys, index)) for index, entry in enumerate(node.value)]

    def _complain(self, node: yaml.Node, keys: Keys, text: str) -> None:
        self.problems.append(Problem(self.place(node), dotted(self.root, keys), text))


def _plain(tag: str, text: str) -> str | bool | int | float | None:
    match tag:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" if len(text) < 100:  # Python refuses to read thousands of digits as an int
            return int(text)
        case "int" | "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return text
