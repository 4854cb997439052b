"""What a study file may say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, field_validator

from hkd_edge.recipe.located_yaml import Keys
from hkd_edge.recipe.section import REQUIRED, Section, key
from hkd_edge.study.methods import READY
from hkd_edge.study.ranges import SECTION, broken_ranges
from hkd_edge_runtime.errors import did_you_mean

_NAME = "^[A-Za-z0-9_-]+$"
_MAX_SEED = 2**32 - 1
LIKE, VARIANTS, RANGES = "like", "variants", "ranges"
# What cells differ in beside method and student: a study's own keys say it, so overrides must not.
_COORDINATES = (("seed",), ("data", "label_fraction"), ("data", "label_seed"), ("data", "unlabelled_classes"))

Name = Annotated[str, Field(pattern=_NAME)]
Overrides: TypeAlias = dict[str, Any]


class Search(Section):
    """How the hyperparameters of each method are looked for, on validation images."""

    trials: int = key(
        REQUIRED, "Trials of each method, student and label budget.", expected="a whole number >= 1", ge=1
    )
    ranges: Overrides = key(
        REQUIRED,
        "Ranges by dotted key; a method is searched over those that it has use of, and may have ranges of its own.",
        expected="ranges by dotted key of a recipe",
        min_length=1,
    )
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, le=_MAX_SEED)], ...], Field(strict=False, min_length=1)] = key(
        (0,), "Seeds that each trial is trained with.", expected="a list of whole numbers >= 0"
    )
    at_once: int = key(
        1, "Trials that a search asks for before it sees their results.", expected="a whole number >= 1", ge=1
    )
    sampler_seed: int = key(0, "Seed of what the sampler draws.", expected="a whole number >= 0", ge=0)
    overrides: Overrides = Field(
        default={},
        alias="set",
        description="What is changed in trials alone, for instance fewer epochs.",
        json_schema_extra={"expected": "a section distill"},
    )


class Study(Section):
    """A grid of trainings: every method with every student, label budget and seed."""

    version: Literal[1] = key(REQUIRED, "Version of the format.", expected="the number 1")
    name: str = key(REQUIRED, "Name of the study.", expected='a name of letters, digits, "_" and "-"', pattern=_NAME)
    base: str = key(
        REQUIRED, "Recipe that all cells start from: a name, or a path from the study's folder.", expected="text"
    )
    overrides: Overrides = Field(
        default={},
        alias="set",
        description="What is changed in it for all cells.",
        json_schema_extra={"expected": "a section of a recipe's keys"},
    )
    methods: dict[Name, Overrides] = key(
        REQUIRED,
        "By name what a method changes; a ready-made name starts from its own changes, and so does like: NAME.",
        expected='sections of a recipe\'s keys by name (letters, digits, "_" and "-")',
        min_length=1,
    )
    students: dict[Name, Overrides] = key(
        {"base": {}},
        "By name what a student changes.",
        expected='sections of a recipe\'s keys by name (letters, digits, "_" and "-")',
        min_length=1,
    )
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, le=_MAX_SEED)], ...], Field(strict=False, min_length=1)] = key(
        (0, 1, 2, 3, 4), "Seeds; methods are compared seed by seed.", expected="a list of whole numbers >= 0"
    )
    label_budgets: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(strict=False, min_length=1)] = key(
        (1.0,),
        "Shares of the training images whose fine label may be used.",
        expected="a list of numbers > 0 and <= 1",
    )
    baselines: Annotated[tuple[str, ...], Field(strict=False)] = key(
        (), "Methods that the others are held against.", expected="a list of names of methods"
    )
    unmet_classes: Literal["all"] | Annotated[tuple[str, ...], Field(strict=False)] = key(
        (),
        "Classes that are left out of the fine labels, each in turn, at all other labels; all = every class.",
        expected='"all" or a list of names of classes',
    )

    search: Search | None = key(
        None, "A search for each method's hyperparameters.", expected="a section with trials and ranges"
    )

    @field_validator("methods", "students", mode="before")
    @classmethod
    def _nothing_is_an_empty_section(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {} if overrides is None else overrides for name, overrides in value.items()}


def broken_rules(study: Study) -> Iterator[tuple[Keys, str]]:
    """What is wrong with keys that are each of the right kind: the key to blame, and the sentence."""
    for name in ("seeds", "label_budgets", "baselines"):
        repeated = [str(value) for value, count in Counter(getattr(study, name)).items() if count > 1]
        if repeated:
            yield (name,), f"expected each entry once, got {', '.join(repeated)} again."
    for index, baseline in enumerate(study.baselines):
        if baseline not in study.methods:
            near = did_you_mean(baseline, list(study.methods))
            yield ("baselines", index), f"expected one of {', '.join(study.methods)}, got {baseline!r}.{near}"
    for name, method in study.methods.items():
        yield from _broken_method(("methods", name), name, method)
        yield from _broken_own_ranges(("methods", name), method, study.search)
    if study.search is not None:
        yield from _broken_search(study.search)
    yield from _fixed_coordinates(("set",), study.overrides)
    for name, student in study.students.items():
        yield from _fixed_coordinates(("students", name), student)


def _broken_method(keys: Keys, name: str, method: Overrides) -> Iterator[tuple[Keys, str]]:
    like, variants = method.get(LIKE, name), method.get(VARIANTS, {"": {}})
    if LIKE in method and like not in READY:
        near = did_you_mean(str(like), list(READY))
        yield (*keys, LIKE), f"expected one of {', '.join(READY)}, got {like!r}.{near}"
    yield from _fixed_coordinates(keys, method)
    if not isinstance(variants, dict) or not variants or not all(isinstance(each, dict) for each in variants.values()):
        yield (*keys, VARIANTS), "expected sections of a recipe's keys by name, got something else."
        return
    for variant, overrides in variants.items():
        yield from _fixed_coordinates((*keys, VARIANTS, variant), overrides)


def _broken_search(search: Search) -> Iterator[tuple[Keys, str]]:
    for keys, text in broken_ranges(search.ranges):
        yield ("search", RANGES, *keys), text
    others = [name for name in search.overrides if name != SECTION]
    if others:
        yield ("search", "set", others[0]), f"expected the section {SECTION} alone, since trials share their teachers."


def _broken_own_ranges(keys: Keys, method: Overrides, search: Search | None) -> Iterator[tuple[Keys, str]]:
    if search is not None and VARIANTS in method:
        yield (*keys, VARIANTS), "expected no variants beside a search, got some. Write them as ranges."
    if RANGES not in method:
        return
    if search is None:
        yield (*keys, RANGES), "expected no ranges without a search, got some. Add search: {trials: ..., ranges: ...}."
    for inner, text in broken_ranges(method[RANGES]):
        yield (*keys, RANGES, *inner), text


def _fixed_coordinates(keys: Keys, overrides: Overrides) -> Iterator[tuple[Keys, str]]:
    for path in _COORDINATES:
        section: Any = overrides
        for part in path[:-1]:
            section = section.get(part) if isinstance(section, dict) else None
        if isinstance(section, dict) and path[-1] in section:
            text = "expected no such key here, since cells differ in it. Use seeds, label_budgets or unmet_classes."
            yield (*keys, *path), text
