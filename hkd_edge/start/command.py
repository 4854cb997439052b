"""What `hkd-edge init` does with its options."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hkd_edge.data.check import as_text
from hkd_edge.data.findings import findings_of
from hkd_edge.data.own_images import arrange
from hkd_edge.data.survey import survey_images
from hkd_edge.data.unlabelled import refuse_useless
from hkd_edge.errors import RunDirectoryError
from hkd_edge.recipe import load_recipe
from hkd_edge.recipe.data import Data
from hkd_edge.report.progress import Reporter
from hkd_edge.start.choose import Choice, Facts, Pace, choose, sizes_to_try
from hkd_edge.start.pace import measure_pace
from hkd_edge.start.write import recipe_text
from hkd_edge_runtime.files import write_bytes_atomically
from hkd_edge_runtime.hierarchy import Hierarchy

RECIPE_NAME = "recipe.yaml"
# Duplicates and modes are looked for at this size; the run reads the images again at its own.
_LOOKED_AT = 64
_VALIDATION_SHARE = 0.15


def init_project(
    project: Path, source: Path, image_size: int | None, minutes: float, reporter: Reporter
) -> Iterator[str]:
    """Writes PROJECT/recipe.yaml for the images of `source`; what was found, chosen and why, line by line.

    Raises:
        RunDirectoryError: if there is a recipe already, or the folder cannot be written.
        DataError: for what a run would refuse the images for.
    """
    recipe = project / RECIPE_NAME
    if recipe.exists():
        raise RunDirectoryError(
            f"{recipe}: expected no recipe yet, got one, and nothing was touched. Name another project."
        )
    dataset = "folder" if source.is_dir() else "list"
    data = Data.model_validate({"dataset": dataset, "root": str(source), "image_size": _LOOKED_AT})
    survey = survey_images(dataset, source, (_LOOKED_AT, _LOOKED_AT), "auto", None, reporter.work)
    findings = findings_of(survey)
    yield from as_text(findings).splitlines()
    arranged = arrange(survey, data)
    hierarchy = arranged.origin.hierarchy if arranged.origin else Hierarchy(arranged.classes)
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
        size=image_size or findings.recommended_size,
        imbalance=findings.imbalance,
        unlabelled=unlabelled,
    )
    choice = choose(facts, _paces(facts, channels, minutes * 60, asked=image_size is not None), minutes * 60)
    made_for = f"{findings.images:,} images of {facts.classes} classes in {source.resolve().name}"
    text = recipe_text(
        _name(project), dataset, _seen_from(project, source), "rgb" if channels == 3 else "grey", choice, made_for
    )
    _write(recipe, text)
    load_recipe(str(recipe))  # what was written is what can be read
    yield from _told(recipe, choice)


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
