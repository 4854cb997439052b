"""What `hkd-edge init` does with its options."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hkd_edge.concepts.load import load_hierarchy
from hkd_edge.data.check import as_text
from hkd_edge.data.dataset import Dataset
from hkd_edge.data.findings import findings_of
from hkd_edge.data.own_images import arrange
from hkd_edge.data.survey import Survey, survey_images
from hkd_edge.data.unlabelled import refuse_useless
from hkd_edge.errors import RecipeError, RunDirectoryError
from hkd_edge.recipe import load_recipe
from hkd_edge.recipe.data import Data, broken_data
from hkd_edge.report.progress import Reporter
from hkd_edge.start.choose import Choice, Facts, Pace, choose, sizes_to_try
from hkd_edge.start.pace import measure_pace
from hkd_edge.start.series import PATTERN, classes_with_series
from hkd_edge.start.write import Images, recipe_text
from hkd_edge_runtime.files import write_bytes_atomically
from hkd_edge_runtime.hierarchy import Hierarchy

RECIPE_NAME = "recipe.yaml"
# Duplicates and modes are looked for at this size; the run reads the images again at its own.
_LOOKED_AT = 64
_VALIDATION_SHARE = 0.15


@dataclass(frozen=True)
class Wanted:
    """What the person asks for; None leaves it to what is found, or to the recipe's default.

    Attributes:
        image_size: side in pixels.
        minutes: that training may take on this machine.
        group_by, max_unreadable: as the recipe's keys of `data`.
        hierarchy: a file of concepts, in the place of those that the data come with.
    """

    image_size: int | None
    minutes: float
    group_by: str | None = None
    max_unreadable: float | None = None
    hierarchy: Path | None = None


def init_project(project: Path, source: Path, wanted: Wanted, reporter: Reporter) -> Iterator[str]:
    """Writes PROJECT/recipe.yaml for the images of `source`; what was found, chosen and why, line by line.

    Raises:
        RunDirectoryError: if there is a recipe already, or the folder cannot be written.
        DataError: for what a run would refuse the images for.
        RecipeError: for a `group_by` that is no regular expression.
        HierarchyError: for a file of concepts that is missing or does not fit the classes.
    """
    recipe = project / RECIPE_NAME
    if recipe.exists():
        raise RunDirectoryError(
            f"{recipe}: expected no recipe yet, got one, and nothing was touched. Name another project."
        )
    data = _data(source, wanted)
    survey = survey_images(data.dataset, source, (_LOOKED_AT, _LOOKED_AT), "auto", data.group_by, reporter.work)
    findings = findings_of(survey)
    yield from as_text(findings).splitlines()
    yield from _series(survey, wanted)
    arranged = arrange(survey, data)
    hierarchy = _hierarchy(arranged, wanted)
    refuse_useless(arranged, hierarchy)
    channels = survey.images.shape[-1]
    held_out = 0 if arranged.origin is None or arranged.origin.held_out is None else len(arranged.origin.held_out)
    unlabelled = int(np.sum(~arranged.has_class))
    validation = held_out or max(1, round(_VALIDATION_SHARE * (len(arranged.train) - unlabelled)))
    facts = Facts(
        classes=len(arranged.classes),
        training=len(arranged.train) - validation,
        validation=validation,
        axes=tuple(axis.name for axis in hierarchy.axes),
        size=wanted.image_size or findings.recommended_size,
        imbalance=findings.imbalance,
        unlabelled=unlabelled,
    )
    budget_s = wanted.minutes * 60
    choice = choose(facts, _paces(facts, channels, budget_s, asked=wanted.image_size is not None), budget_s)
    images = Images(
        told=f"{findings.images:,} images of {facts.classes} classes in {source.resolve().name}",
        dataset=data.dataset,
        root=_seen_from(project, source),
        color="rgb" if channels == 3 else "grey",
        group_by=data.group_by,
        max_unreadable=data.max_unreadable,
        hierarchy=None if wanted.hierarchy is None else _seen_from(project, wanted.hierarchy),
    )
    _write(recipe, recipe_text(_name(project), images, choice))
    load_recipe(str(recipe))  # what was written is what can be read
    yield from _told(recipe, choice)


def _data(source: Path, wanted: Wanted) -> Data:
    given = {"group_by": wanted.group_by, "max_unreadable": wanted.max_unreadable}
    asked = {"dataset": "folder" if source.is_dir() else "list", "root": str(source), "image_size": _LOOKED_AT, **given}
    settings = {name: value for name, value in asked.items() if value is not None}
    for name, reason in broken_data(settings):
        raise RecipeError(f"--{name.replace('_', '-')}: {reason}")
    return Data.model_validate(settings)


def _hierarchy(arranged: Dataset, wanted: Wanted) -> Hierarchy:
    if wanted.hierarchy is not None:
        return load_hierarchy(wanted.hierarchy, arranged.classes)
    return Hierarchy(arranged.classes, ()) if arranged.origin is None else arranged.origin.hierarchy


def _series(survey: Survey, wanted: Wanted) -> Iterator[str]:
    """What a person should know if several images of one thing seem to be there and are not kept together."""
    named = [(each.name, each.label) for each in survey.entries if each.label and not each.group]
    found = {} if wanted.group_by else classes_with_series(named)
    if len(found) > len(survey.classes) / 2:
        series, count = next(iter(found.values()))
        yield (
            f"warning: file names look like series ({series}..., {count} of them in class {next(iter(found))!r}). "
            "If a series shows one object, scene or film, the same is in training and test and flatters the accuracy: "
            f"keep series together by --group-by '{PATTERN}'"
        )


def _paces(facts: Facts, channels: int, budget_s: float, *, asked: bool) -> list[Pace]:
    """Paces from the wanted size down, until one fits the budget; of the wanted size alone if it was asked for."""
    paces: list[Pace] = []
    for size in (facts.size,) if asked else sizes_to_try(facts.size):
        paces.append(measure_pace(size, channels, facts.classes))
        if choose(facts, paces, budget_s).seconds <= budget_s:
            break
    return paces


def _name(project: Path) -> str:
    """The project's name with what a recipe's name may hold."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", project.resolve().name).strip("_") or "project"


def _seen_from(project: Path, source: Path) -> str:
    """The images' place: relative if project and images lie side by side, so that both can be moved together."""
    project, source = project.resolve(), source.resolve()
    return os.path.relpath(source, project) if source.is_relative_to(project.parent) else str(source)


def _write(recipe: Path, text: str) -> None:
    try:
        recipe.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(recipe, text.encode("utf-8"))
    except OSError as error:
        raise RunDirectoryError(
            f"{recipe.parent}: expected a folder that can be written, got: {error}. Name another project."
        ) from error


def _told(recipe: Path, choice: Choice) -> Iterator[str]:
    yield ""
    for reason in choice.reasons:
        yield f"- {reason}"
    yield ""
    yield f"Written: {recipe}. Next: hkd-edge run {recipe} -o {recipe.parent / 'run'}"
