"""Rules over several keys: what no single key can be blamed for alone.

They read plain data that may have other faults, so that a broken rule is reported together with all else. A
missing value stands for its default, and a value of a wrong type breaks no rule here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypeGuard

from hkd_edge.recipe.data import FROM_DATA, OWN_IMAGES, broken_data
from hkd_edge.recipe.foreign import broken_teacher

Broken: TypeAlias = tuple[tuple[str, ...], str]  # the keys to blame, and what is wrong

LOSSES_OF_TEACHER = {"concept": ("concept", "embedding", "relational", "subclass"), "task": ("kd", "dkd")}
_STAGES = {"stem_width": "16", "widths": "[16, 32, 64]", "blocks": "[1, 1, 0]"}
_PASSWORD = re.compile(r"https?://[^/@]*:[^/@]+@")
# What each kind of architecture needs, with an example, and what it may have beside that.
_NEEDED = {"residual": _STAGES, "plain": _STAGES, "mobile": _STAGES, "torchvision": {"name": "resnet18"}}
_OPTIONAL = {
    "residual": ("stem_stride",),
    "plain": ("stem_stride",),
    "mobile": ("stem_stride", "expansion"),
    "torchvision": ("weights",),
}


def broken_rules(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    """Every broken rule of a recipe, which is as its YAML says or as `Recipe.model_dump` does."""
    for role in ("teacher", "task_teacher", "student"):
        architecture = _at(recipe, role).get("architecture")
        if isinstance(architecture, Mapping):
            for key, reason in broken_architecture(architecture):
                yield (role, "architecture", key), reason
    for role in ("teacher", "task_teacher"):
        if isinstance(recipe.get(role), Mapping):
            for keys, reason in broken_teacher(recipe[role]):
                yield (role, *keys), reason
    for key, reason in broken_data(_at(recipe, "data")):
        yield ("data", key), reason
    yield from _weights_have_teachers(recipe)
    yield from _foreign_teachers_answer(recipe)
    yield from _some_weight_is_positive(recipe)
    yield from _teacher_has_concepts(recipe)
    yield from _concepts_of_data_are_there(recipe)
    yield from _concept_labels_have_concepts(recipe)
    yield from _export_is_possible(recipe)
    yield from _tracking_shows_no_password(recipe)


def broken_architecture(architecture: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every broken rule of an architecture, with the key to blame."""
    kind = architecture.get("kind", "residual")
    if not isinstance(kind, str) or kind not in _NEEDED:
        return
    given = {key for key, value in architecture.items() if value is not None}
    for key, example in _NEEDED[kind].items():
        if key not in given:
            yield key, f"expected a value, which kind {kind} needs, got none. For example {key}: {example}."
    kinds_of = {key: [kind for kind in _NEEDED if key in (*_NEEDED[kind], *_OPTIONAL[kind])] for key in sorted(given)}
    for key, kinds in kinds_of.items():
        if kinds and kind not in kinds:
            arrived = json.dumps(architecture[key])
            yield key, f"expected none for kind {kind}, got {arrived}. Leave it out; {', '.join(kinds)} can have it."
    widths, blocks = _entries(architecture, "widths"), _entries(architecture, "blocks")
    if widths and blocks and len(widths) != len(blocks):
        yield "blocks", f"expected as many entries as widths ({len(widths)}), got {len(blocks)}."


def _weights_have_teachers(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    keys = {"concept": "teacher", "task": "task_teacher"}
    teachers = {loss: keys[role] for role, losses in LOSSES_OF_TEACHER.items() for loss in losses}
    weights = _at(recipe, "distill", "weights")
    for name, teacher in teachers.items():
        weight = weights.get(name)
        if _is_number(weight) and weight > 0 and recipe.get(teacher) is None:
            yield (
                ("distill", "weights", name),
                f"expected a {teacher} for a weight > 0, got {weight} while recipe.{teacher} is null. "
                f"Describe {teacher} or set {name} to 0.",
            )


def _foreign_teachers_answer(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    """A foreign network without head and mapping only embeds."""
    weights = _at(recipe, "distill", "weights")
    for role, losses in (("teacher", ("concept", "subclass")), ("task_teacher", ("kd", "dkd"))):
        foreign = _at(recipe, role, "foreign")
        if foreign.get("head") != "none" or foreign.get("mapping") is not None:
            continue
        for loss in losses:
            if _is_number(weights.get(loss)) and weights[loss] > 0:
                reason = (
                    f"expected a head or a mapping for distill.weights.{loss} > 0, got none and no mapping, so that "
                )
                yield (role, "foreign", "head"), reason + f"the network only embeds. Set head: linear, or {loss} to 0."


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


def _concepts_of_data_are_there(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    dataset = _at(recipe, "data").get("dataset")
    if _at(recipe, "concepts").get("hierarchy") == FROM_DATA and isinstance(dataset, str) and dataset not in OWN_IMAGES:
        reason = f"expected the path of a hierarchy for data set {dataset}, which brings no concepts, got {FROM_DATA}."
        yield ("concepts", "hierarchy"), f"{reason} Name a file; {' and '.join(OWN_IMAGES)} can have it."


def _concept_labels_have_concepts(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    weight, concepts = _at(recipe, "distill", "weights").get("concept_labels"), recipe.get("concepts", {})
    unnamed = isinstance(concepts, Mapping) and concepts.get("hierarchy") is None
    if _is_number(weight) and weight > 0 and unnamed:
        reason = f"expected a hierarchy for a weight > 0, got {weight} while recipe.concepts.hierarchy is null. "
        yield ("distill", "weights", "concept_labels"), reason + "Name the file or set concept_labels to 0."


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
    batches = {"min_batch": 1, "opt_batch": 1, "max_batch": 64, **_at(export, "tensorrt")}
    smallest, usual, largest = (batches[name] for name in ("min_batch", "opt_batch", "max_batch"))
    if all(map(_is_number, (smallest, usual, largest))) and not smallest <= usual <= largest:
        reason = f"expected min_batch <= opt_batch <= max_batch, got {smallest}, {usual}, {largest}."
        yield ("export", "tensorrt"), reason


def _tracking_shows_no_password(recipe: Mapping[str, Any]) -> Iterator[Broken]:
    uri = _at(recipe, "tracking").get("mlflow")
    if isinstance(uri, str) and _PASSWORD.match(uri):
        reason = "expected a URI without a password, since each run keeps its recipe, got one with a password. "
        yield ("tracking", "mlflow"), reason + "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead."


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
