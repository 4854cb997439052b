"""What all sections of a recipe share: strictness, and how a key is described."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

REQUIRED: Any = ...
MAX_SEED = 2**32 - 1  # NumPy's limit; PyTorch takes more
BROKEN_RULES = "broken_rules"  # the type of pydantic's error for them


class Section(BaseModel):
    """A part of a recipe: frozen, without unknown keys; `true` is not a number and `"3"` is not a 3."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def key(default: Any, description: str, *, typical: str = "", expected: str = "", **limits: Any) -> Any:
    """A field. The schema and messages show its `typical` values; there `expected` words its limits."""
    extra = {name: text for name, text in {"typical": typical, "expected": expected}.items() if text}
    hint = f" Typical values are {typical}." if typical else ""
    return Field(default, description=description + hint, json_schema_extra={**extra}, **limits)


def path_key(default: Any, description: str, words: tuple[str, ...] = ()) -> Any:
    """A field that holds a path, which `--set` takes from the current folder and a file from its own.

    `words` are values that are no paths; a file of such a name is written `./NAME`.
    """
    extra: dict[str, Any] = {"format": "path", **({"words": list(words)} if words else {})}
    return Field(default, description=description, min_length=1, json_schema_extra=extra)


def refuse(reasons: Iterable[str]) -> None:
    """Raises the error of a validator if there are any `reasons`."""
    told = "\n".join(reasons)
    if told:
        raise PydanticCustomError(BROKEN_RULES, "{reasons}", {"reasons": told})
