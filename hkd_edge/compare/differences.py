"""What differs between nested mappings, by dotted keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Differing:
    """A key that does not have the same value in all runs.

    Attributes:
        values: in the order of the runs; None where the key is absent, `null` being a value like others.
    """

    key: str
    values: tuple[str | None, ...]


def flattened(value: object, prefix: str = "") -> dict[str, object]:
    """Nested mappings as one, by dotted keys; lists are values.

    >>> flattened({"a": {"b": 1, "c": [2, 3]}, "d": None})
    {'a.b': 1, 'a.c': [2, 3], 'd': None}
    """
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, object] = {}
    for key, item in value.items():
        flat |= flattened(item, f"{prefix}.{key}" if prefix else str(key))
    return flat


def differing(columns: Sequence[Mapping[str, object]]) -> tuple[Differing, ...]:
    """The keys whose values are not equal in all of `columns`, in the order in which they first come.

    >>> differing([{"seed": 0, "epochs": 3}, {"seed": 1, "epochs": 3, "kd": 0.5}])
    (Differing(key='seed', values=('0', '1')), Differing(key='kd', values=(None, '0.5')))
    """
    keys = dict.fromkeys(key for column in columns for key in column)
    shown = {key: tuple(shown_value(column[key]) if key in column else None for column in columns) for key in keys}
    return tuple(Differing(key, values) for key, values in shown.items() if len(set(values)) > 1)


def shown_value(value: object) -> str:
    """A value of a recipe as it is written there.

    >>> [shown_value(value) for value in (None, True, 0.5, "a", "", [1, "b"])]
    ['null', 'true', '0.5', 'a', '""', '[1, b]']
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown_value(item)}" for key, item in value.items()) + "}"
    return str(value) or '""'
