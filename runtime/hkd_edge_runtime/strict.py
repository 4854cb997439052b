"""JSON to frozen dataclasses and back, by their type hints; all wrong keys and types are reported at once.

Understood: str, int, float (finite), bool, object (any JSON), Literal of texts, tuple[X, ...],
Mapping[str, X], dataclasses of these, and classes with `to_dict` and `from_dict`. A dataclass adds its own
rules as ValueErrors of its `__post_init__`. A field `X | None = None` may be left out; null is never written.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any

from hkd_edge_runtime.errors import did_you_mean

_NAMES = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false"}


def decode(kind: Any, value: object, path: str, problems: list[str]) -> Any:
    """`value` (parsed JSON) as an instance of `kind`; `problems` gets what is wrong, with its dotted path.

    The result is only meaningful if `problems` did not grow.
    """
    origin = typing.get_origin(kind)
    if kind is object:
        return value
    if kind in _NAMES:
        return _decode_scalar(kind, value, path, problems)
    if origin is types.UnionType:
        return decode(typing.get_args(kind)[0], value, path, problems)
    if origin is typing.Literal:
        return _decode_choice(typing.get_args(kind), value, path, problems)
    if origin is tuple:
        return _decode_list(typing.get_args(kind)[0], value, path, problems)
    if origin is not None:
        return _decode_mapping(typing.get_args(kind)[1], value, path, problems)
    return _decode_class(kind, value, path, problems)


def encode(value: object) -> Any:
    """The JSON form of what `decode` reads."""
    if dataclasses.is_dataclass(value) and hasattr(value, "to_dict"):
        return value.to_dict()
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: encode(item) for name, item in fields.items() if item is not None}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def _decode_scalar(kind: type, value: object, path: str, problems: list[str]) -> Any:
    if type(value) is kind and kind is not float:
        return value
    if kind is float and type(value) in (int, float) and _is_finite(typing.cast(float, value)):
        return float(typing.cast(float, value))
    return _wrong(_NAMES[kind], value, path, problems)


def _is_finite(number: float) -> bool:
    # One comparison that is also right for NaN and for whole numbers too big to become a float.
    return -sys.float_info.max <= number <= sys.float_info.max


def _decode_choice(choices: tuple[str, ...], value: object, path: str, problems: list[str]) -> Any:
    if isinstance(value, str) and value in choices:
        return value
    return _wrong(" or ".join(repr(choice) for choice in choices), value, path, problems)


def _decode_list(kind: Any, value: object, path: str, problems: list[str]) -> Any:
    if not isinstance(value, list):
        return _wrong("a list", value, path, problems)
    return tuple(decode(kind, item, f"{path}[{index}]", problems) for index, item in enumerate(value))


def _decode_mapping(kind: Any, value: object, path: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        return _wrong("a mapping", value, path, problems)
    return {key: decode(kind, item, _join(path, key), problems) for key, item in value.items()}


def _decode_class(kind: Any, value: object, path: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        return _wrong("a mapping", value, path, problems)
    before = len(problems)
    if hasattr(kind, "from_dict"):
        return _build(lambda: kind.from_dict(value), path, problems)
    hints = typing.get_type_hints(kind)
    _check_keys(value, hints, path, problems)
    fields = {
        name: decode(hint, value[name], _join(path, name), problems) for name, hint in hints.items() if name in value
    }
    return _build(lambda: kind(**fields), path, problems) if len(problems) == before else None


def _build(build: Any, path: str, problems: list[str]) -> Any:
    try:
        return build()
    except ValueError as error:
        problems.append(f"{path}: {error}" if path else str(error))
        return None


def _check_keys(value: dict[str, object], hints: dict[str, Any], path: str, problems: list[str]) -> None:
    for name, hint in hints.items():
        if name not in value and type(None) not in typing.get_args(hint):
            problems.append(f"{_join(path, name)}: missing.")
    for name in value:
        if name not in hints:
            problems.append(f"{_join(path, name)}: unknown key.{did_you_mean(name, hints)}")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wrong(expected: str, value: object, path: str, problems: list[str]) -> None:
    problems.append(f"{path}: expected {expected}, got {_show(value)}.")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
