"""Rules over several keys: what no single key can be blamed for alone.

They read plain data that may have other faults, so that a broken rule is reported together with all else. A
missing value stands for its default, and a value of a wrong type breaks no rule here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypeGuard

Broken: TypeAlias = tuple[tuple[str, ...], str]  # the keys to blame, and what is wrong

_NEEDS_CONCEPT_TEACHER = ("concept", "embedding", "relational")


def broken_rules(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    """Every broken rule of a recipe, which is as its YAML says or as `Recipe.model_dump` does."""
    for section in ("teacher", "task_teacher", "student"):
        yield from _blocks_fit_widths(recipe, section)
    yield from _weights_have_teachers(recipe)
    yield from _some_weight_is_positive(recipe)
    yield from _teacher_has_concepts(recipe)
    yield from _export_is_possible(recipe)


def _blocks_fit_widths(recipe: Mapping[str, Any], section: str) -> Iterator[Broken]:
    architecture = _at(recipe, section, "architecture")
    widths, blocks = _entries(architecture, "widths"), _entries(architecture, "blocks")
    if widths and blocks and len(widths) != len(blocks):
        reason = f"expected as many entries as widths ({len(widths)}), got {len(blocks)}."
        yield (section, "architecture", "blocks"), reason


def _weights_have_teachers(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    teachers = {**dict.fromkeys(_NEEDS_CONCEPT_TEACHER, "teacher"), "kd": "task_teacher"}
    weights = _at(recipe, "distill", "weights")
    for name, teacher in teachers.items():
        weight = weights.get(name)
        if _is_number(weight) and weight > 0 and recipe.get(teacher) is None:
            yield (
                ("distill", "weights", name),
                f"expected a {teacher} for a weight > 0, got {weight} while recipe.{teacher} is null. "
                f"Describe {teacher} or set {name} to 0.",
            )


def _some_weight_is_positive(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    weights = {"ce": 1.0, **_at(recipe, "distill", "weights")}
    if all(_is_number(weight) and weight == 0 for weight in weights.values()):
        yield ("distill", "weights"), "expected at least one weight > 0, got 0 for all of them. Set ce to 1."


def _teacher_has_concepts(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    concepts = recipe.get("concepts", {})
    unnamed = isinstance(concepts, Mapping) and concepts.get("hierarchy") is None
    if unnamed and recipe.get("teacher") is not None:
        reason = "expected the path of a hierarchy, since recipe.teacher learns its concepts, got null."
        yield ("concepts", "hierarchy"), f"{reason} Name the file or set teacher to null."


def _export_is_possible(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    export = _at(recipe, "export")
    for key in ("targets", "precisions"):
        repeated = [name for name, count in Counter(_entries(export, key)).items() if count > 1]
        if repeated:
            yield ("export", key), f"expected each entry once, got {', '.join(repeated)} again."
    precisions = _entries(export, "precisions") or ["fp32", "int8"]
    if "fp32" not in precisions:
        reason = f"expected fp32 among them, got {', '.join(precisions)}. The others are made from it: add it."
        yield ("export", "precisions"), reason
    images = export.get("calibration_images")
    if "int8" in precisions and _is_number(images) and images == 0:
        reason = "expected a whole number >= 1 for int8, got 0. Give it images or leave int8 out of precisions."
        yield ("export", "calibration_images"), reason


def _at(recipe: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    section: Any = recipe
    for key in keys:
        section = section.get(key) if isinstance(section, Mapping) else None
    return section if isinstance(section, Mapping) else {}


def _entries(section: Mapping[str, Any], key: str) -> list[str]:
    """The entries of a list as text; none if it is missing or no list."""
    values = section.get(key)
    return [str(value) for value in values] if isinstance(values, list | tuple) else []


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
