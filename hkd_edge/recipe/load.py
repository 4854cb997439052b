"""Finds, reads, checks and writes recipes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hkd_edge.errors import RecipeError
from hkd_edge.places import list_recipes, recipes_folder
from hkd_edge.recipe.located_yaml import Document, dump_yaml, read_document, report
from hkd_edge.recipe.overrides import apply_overrides
from hkd_edge.recipe.problems import ROOT, find_problems
from hkd_edge.recipe.schema import Recipe
from hkd_edge_runtime.errors import did_you_mean

_SUFFIXES = (".yaml", ".yml")


def load_recipe(path_or_name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe at a path, or one of `list_recipes()` by its name, with the KEY=VALUE `overrides`.

    Raises:
        RecipeError: if it is missing or unreadable, or else with all that is wrong with it, line by line.
    """
    path = find_recipe(path_or_name)
    document = read_document(path, root=ROOT, noun="recipe", error=RecipeError)
    return recipe_of(apply_overrides(document, overrides), path.parent)


def recipe_of(document: Document, folder: Path) -> Recipe:
    """The recipe that `document` is, whose relative paths start from `folder`.

    Raises:
        RecipeError: with all that is wrong with it, line by line.
    """
    return _validated(document).in_folder(folder)


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe, defaults included, as YAML that loads again to an equal recipe.

    Its relative paths start from `recipe.folder`; for a file elsewhere dump `recipe.moved_to(...)`.
    """
    return dump_yaml(recipe.model_dump(mode="json", by_alias=True))


def find_recipe(path_or_name: str) -> Path:
    """The path of a recipe: the argument itself if it looks like a path, or else the recipe of that name.

    Raises:
        RecipeError: if no recipe has that name.
    """
    if path_or_name.endswith(_SUFFIXES) or "/" in path_or_name or os.sep in path_or_name:
        return Path(path_or_name)
    names = list_recipes()
    if path_or_name not in names:
        raise RecipeError(
            f"expected the name of a recipe, got {path_or_name!r}.{did_you_mean(path_or_name, names)} "
            f"Recipes: {', '.join(names)}. One of your own is given by its path, which ends in .yaml."
        )
    return recipes_folder() / f"{path_or_name}.yaml"


def _validated(document: Document) -> Recipe:
    recipe, errors = _parsed(document.value)
    problems = [*document.problems, *find_problems(document, errors)]
    if recipe is None or problems:
        raise RecipeError(report(problems))
    return recipe


def _parsed(value: Any) -> tuple[Recipe | None, list[ErrorDetails]]:
    try:
        return Recipe.model_validate(value), []
    except ValidationError as error:
        return None, error.errors()
