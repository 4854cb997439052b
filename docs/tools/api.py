"""docs/runtime-api.md: the public names of the board's wrapper, by walking the package itself."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import hkd_edge_runtime
from hkd_edge_runtime.errors import HkdEdgeError

_HEAD = """# The runtime's API

`hkd_edge_runtime`, what a program on the board imports; [runtime/README.md](../runtime/README.md) shows how it is used.
Shapes: N images of H x W pixels with C channels. `Pixels` is a uint8 array of numpy's, `ImageSource` a path or such an
array, `PublicKey` a PEM file's path or its bytes. What is not named here may change in any version.
"""
_ROOT = hkd_edge_runtime.__name__
# Beside what the package itself exports: what its answers and models lead to.
_MODULES: dict[str, tuple[str, ...]] = {
    "evaluation": ("read_evaluation", "evaluate", "EvaluationSet", "Accuracy"),
    "manifest": ("Manifest", "InputSpec", "Artefact", "FileEntry", "Golden"),
    "hierarchy": ("Hierarchy", "Axis"),
    "confidence": ("Confidence", "OperatingPoint"),
    "verify": ("verify_bundle", "VerifyReport"),
    "golden": ("GoldenResult",),
    "backends": ("Outputs",),
}
_WIDTH = 100  # beyond which a signature has a line for each parameter
_SECTION = re.compile(r"^(Args|Attributes|Raises):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\S.*?): ", re.MULTILINE)


def public_names() -> Iterator[tuple[str, str, Any]]:
    """(module, name, object) of all that the page describes."""
    exported = [name for name in hkd_edge_runtime.__all__ if name != "__version__"]
    for name in sorted(exported, key=lambda name: (_rank(getattr(hkd_edge_runtime, name)), name.lower())):
        yield _ROOT, name, getattr(hkd_edge_runtime, name)
    for module, names in _MODULES.items():
        for name in names:
            yield f"{_ROOT}.{module}", name, getattr(importlib.import_module(f"{_ROOT}.{module}"), name)


def _rank(item: Any) -> int:
    """Functions first, then classes, then errors."""
    return 0 if not isinstance(item, type) else 2 if issubclass(item, HkdEdgeError) else 1


def runtime_api() -> str:
    """The page."""
    lines, seen = [_HEAD], ""
    for module, name, item in public_names():
        if module != seen:
            lines.append(f"## {module}\n")
            seen = module
        lines += _described(name, item)
    return "\n".join(lines)


def _described(name: str, item: Any) -> Iterator[str]:
    yield f"### {name}\n"
    yield f"```python\n{_head(name, item)}\n```\n"
    yield from _docstring(inspect.getdoc(item) or "")
    if isinstance(item, type) and not issubclass(item, HkdEdgeError):
        for member, value in members(item):
            yield f"#### {name}.{member}\n"
            yield f"```python\n{_member_head(member, value)}\n```\n"
            yield from _docstring(inspect.getdoc(value) or "")


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class that have a docstring of their own, in the order of the source."""
    for name, value in vars(kind).items():
        value = value.__func__ if isinstance(value, classmethod) else value
        if not name.startswith("_") and (callable(value) or isinstance(value, property)) and inspect.getdoc(value):
            yield name, value


def _head(name: str, item: Any) -> str:
    if not isinstance(item, type):
        return _function(name, item)
    if issubclass(item, HkdEdgeError):
        bases = ", ".join(base.__name__ for base in item.__bases__)
        return f"class {name}({bases}):\n    exit_code = {item.exit_code}"
    if dataclasses.is_dataclass(item):
        fields = [f"    {_parameter(each)}" for each in inspect.signature(item).parameters.values()]
        return "\n".join(["@dataclass(frozen=True)", f"class {name}:", *fields])
    return f"class {name}: ..."


def _member_head(name: str, value: Any) -> str:
    if isinstance(value, property):
        return f"{name}: {_type(inspect.signature(value.fget).return_annotation)}"  # type: ignore[arg-type]
    return _function(name, value)


def _function(name: str, function: Callable[..., Any]) -> str:
    """`def name(a: int, b: str = "x") -> int: ...`, broken into lines where it is long."""
    signature = inspect.signature(function)
    parameters = [each for each in signature.parameters.values() if each.name not in ("self", "cls")]
    words: list[str] = []
    for before, each in zip([None, *parameters], parameters, strict=False):
        if each.kind is each.KEYWORD_ONLY and (before is None or before.kind is not each.KEYWORD_ONLY):
            words.append("*")
        words.append(_parameter(each))
    end = f") -> {_type(signature.return_annotation)}: ..."
    line = f"def {name}({', '.join(words)}{end}"
    return line if len(line) <= _WIDTH else "\n".join([f"def {name}(", *(f"    {word}," for word in words), end])


def _parameter(parameter: inspect.Parameter) -> str:
    told = f"{parameter.name}: {_type(parameter.annotation)}"
    return told if parameter.default is parameter.empty else f"{told} = {_default(parameter.default)}"


def _type(annotation: str) -> str:
    return annotation.replace("'", '"')


def _default(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _docstring(text: str) -> Iterator[str]:
    """A docstring as Markdown: its paragraphs, its sections as lists, its doctests as code."""
    parts = _SECTION.split(text)
    yield from _paragraphs(parts[0])
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        entries, rest = _entries(body)
        yield f"{'Arguments' if title == 'Args' else title}:\n"
        yield from (f"- {_names(title, name)}: {told}" for name, told in entries)
        yield ""
        yield from _paragraphs(rest)


def _entries(body: str) -> tuple[list[tuple[str, str]], str]:
    """The (name, text) of a section's lines, and what follows the section."""
    inside, _, rest = body.strip("\n").partition("\n\n")
    words = _ENTRY.split("\n" + inside)
    pairs = zip(words[1::2], words[2::2], strict=True)
    return [(name, " ".join(told.split())) for name, told in pairs], rest


def _names(title: str, name: str) -> str:
    return ", ".join(f"`{each}`" for each in name.split(", ")) if title == "Raises" else f"`{name}`"


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        if paragraph.lstrip().startswith(">>>"):
            yield f"```pycon\n{inspect.cleandoc(paragraph)}\n```\n"
        elif paragraph.strip():
            yield f"{' '.join(paragraph.split())}\n"
