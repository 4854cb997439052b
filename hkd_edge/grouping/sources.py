"""Where a hierarchy is found: in a file of its own, by a recipe, in a run, or in the folders of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hkd_edge.concepts.load import classes_named_in, load_hierarchy
from hkd_edge.errors import HierarchyError
from hkd_edge.grouping.folder import hierarchy_of_levels
from hkd_edge.recipe import Recipe, find_recipe, load_recipe
from hkd_edge.recipe.located_yaml import read_document
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge.run.directory import RECIPE_FILE, is_run
from hkd_edge.stages.data import FACTS_FILE
from hkd_edge_runtime.hierarchy import Hierarchy

_RESULT_FILE = "concepts/hierarchy.json"
_OF_RECIPES = ("version", "name", "data", "student", "distill")  # keys that only recipes have, and must have


@dataclass(frozen=True)
class Found:
    """A hierarchy, where it is from, and whose classes were taken for all there are."""

    hierarchy: Hierarchy
    title: str
    classes: str


def find_hierarchy(source: str) -> Found:
    """The hierarchy of FILE, RECIPE (a path or a name), a run or project, or a folder of nested images.

    Raises:
        HierarchyError: with all that is wrong in it; or if the recipe names none.
        HkdEdgeError: if what it is found by cannot be read.
    """
    path = Path(source)
    if path.is_dir() and not is_run(path):
        return Found(hierarchy_of_levels(path), source, "the folders with images")
    if path.is_file() and not _is_recipe(path):
        hierarchy = load_hierarchy(path, classes_named_in(path))
        return Found(hierarchy, source, "those that the file names; only a recipe knows of others")
    recipe_path = path / RECIPE_FILE if is_run(path) else find_recipe(source)
    recipe = load_recipe(str(recipe_path))
    if recipe.hierarchy_path is None:
        raise HierarchyError(
            f"{source}: expected a recipe that names a hierarchy, got none at recipe.concepts.hierarchy. "
            "Let one be suggested once there is a run: hkd-edge concepts suggest RUN"
        )
    return Found(load_hierarchy(recipe.hierarchy_path, _classes(recipe, path)), source, "those of the data")


def shown_hierarchy(source: str) -> Found:
    """As `find_hierarchy`, but of a run what it was made with, and without one its classes alone."""
    made_with = Path(source) / _RESULT_FILE
    if made_with.is_file():
        return Found(Hierarchy.from_dict(json.loads(made_with.read_text(encoding="utf-8"))), source, "those of the run")
    return find_hierarchy(source)


def _is_recipe(path: Path) -> bool:
    value = read_document(path, root="hierarchy", noun="hierarchy", error=HierarchyError).value
    return isinstance(value, dict) and "axes" not in value and any(key in value for key in _OF_RECIPES)


def _classes(recipe: Recipe, run: Path) -> Sequence[str]:
    """The classes of the run, or else of the recipe's data."""
    facts = run / FACTS_FILE
    if is_run(run) and facts.is_file():
        return tuple(json.loads(facts.read_text(encoding="utf-8"))["classes"])
    with Reporter(Console(stderr=True)) as reporter:
        return Context(recipe, run, reporter).dataset.classes
