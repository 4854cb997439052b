"""What a study's search may change: ranges of a recipe's keys, which methods have use of them, and values put in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import ValidationError

from hkd_edge.errors import RecipeError
from hkd_edge.recipe.located_yaml import Keys
from hkd_edge.recipe.outline import all_keys, keys_of, node_at
from hkd_edge.recipe.schema import Distill, Recipe
from hkd_edge_runtime.errors import did_you_mean

Value: TypeAlias = float | int | bool | str
Range: TypeAlias = dict[str, Any] | list[Any]
SECTION = "distill"  # what is searched leaves the teachers alone, so that these are trained once
_FORMS = "{low: NUMBER, high: NUMBER, log: true or false} or a list of at least two values"
# Losses without one of which a key decides nothing; keys that are not here always count.
_USED_BY = {
    "distill.temperature": ("concept", "subclass", "kd", "dkd"),
    "distill.divide_prior": ("concept", "concept_labels"),
    "distill.dkd": ("dkd",),
    "distill.embedding.layer": ("embedding", "relational", "subclass"),
    "distill.embedding.projector": ("embedding",),
    "distill.subclass": ("subclass",),
    **{f"distill.weights.{name}": (name,) for name in keys_of(node_at(("distill", "weights"))) if name != "ce"},
}
_USED_BY_ANY_LOSS_BUT_CE = ("distill.teacher_decay", "distill.teacher_warmup", "distill.labelled_share")


def broken_ranges(ranges: Any) -> Iterator[tuple[Keys, str]]:
    """What is wrong with `ranges` as they are written: the keys to blame, and the sentence."""
    if not isinstance(ranges, Mapping):
        yield (), f"expected ranges by dotted key of a recipe, got {type(ranges).__name__}."
        return
    leaves = [
        key for key in all_keys() if key.startswith(f"{SECTION}.") and not keys_of(node_at(tuple(key.split("."))))
    ]
    for name, given in ranges.items():
        if name not in leaves:
            yield (name,), f"expected a key of {SECTION}, got {name!r}.{did_you_mean(str(name), leaves)}"
        elif given is not None and not _is_range(given):
            yield (name,), f"expected {_FORMS} with low < high, got {given!r}."


def _is_range(given: Any) -> bool:
    if isinstance(given, list):
        return len(given) >= 2 and len({repr(each) for each in given}) == len(given)
    if not isinstance(given, Mapping) or not {"low", "high"} <= set(given) <= {"low", "high", "log"}:
        return False
    low, high, log = given["low"], given["high"], given.get("log", False)
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (low, high))
    return numbers and isinstance(log, bool) and low < high and (low > 0 or not log)


def used_ranges(ranges: Mapping[str, Range | None], recipe: Recipe, label_fraction: float) -> dict[str, Range]:
    """The ranges of which a method with this recipe has use at that label budget."""
    return {
        name: given for name, given in ranges.items() if given is not None and _is_used(name, recipe, label_fraction)
    }


def _is_used(name: str, recipe: Recipe, label_fraction: float) -> bool:
    weights = recipe.distill.weights.model_dump(exclude={"ce"})
    if name == "distill.labelled_share" and label_fraction == 1:
        return False
    if name in _USED_BY_ANY_LOSS_BUT_CE:
        return any(weights.values())
    losses = next((losses for key, losses in _USED_BY.items() if name == key or name.startswith(f"{key}.")), None)
    return losses is None or any(weights[loss] > 0 for loss in losses)


def with_values(recipe: Recipe, values: Mapping[str, Value], section: Mapping[str, Any] | None = None) -> Recipe:
    """`recipe` with `values` by dotted key in its distillation, and first what `section` says of it.

    Raises:
        RecipeError: if a value is none that the key can have.
    """
    content = merged(recipe.distill.model_dump(), section or {})
    for name, value in values.items():
        content = merged(content, _nested(name.split(".")[1:], value))
    try:
        return recipe.model_copy(update={SECTION: Distill.model_validate(content)})
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise RecipeError(
            f"expected values that {SECTION} can have, got {dict(values)}: {told}. Mend the range."
        ) from error


def ends(given: Range) -> list[Value]:
    """The values of a range that others lie between, or all of its choices."""
    return list(given) if isinstance(given, list) else [given["low"], given["high"]]


def value_at(recipe: Recipe, name: str) -> Value:
    """What `recipe` says at a dotted key."""
    value: Any = recipe.model_dump()
    for part in name.split("."):
        value = value[part]
    found: Value = value
    return found


def shown_range(given: Range) -> str:
    """A range in words.

    >>> shown_range({"low": 0.1, "high": 10, "log": True}), shown_range(["none", "cosine"])
    ('0.1 to 10, log', 'none | cosine')
    """
    if isinstance(given, list):
        return " | ".join(map(str, given))
    return f"{given['low']:g} to {given['high']:g}" + (", log" if given.get("log") else "")


def merged(below: Any, above: Any) -> Any:
    """`below` with `above` laid over it key by key."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}


def _nested(keys: list[str], value: Value) -> dict[str, Any]:
    return {keys[0]: value if len(keys) == 1 else _nested(keys[1:], value)}
