"""Reads a study and works out the recipe of each of its cells. Nothing here imports torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hkd_edge.errors import RecipeError
from hkd_edge.recipe.load import find_recipe, recipe_of
from hkd_edge.recipe.located_yaml import Document, Keys, Place, Problem, dotted, read_document, report
from hkd_edge.recipe.outline import node_at
from hkd_edge.recipe.problems import shown
from hkd_edge.recipe.schema import Recipe
from hkd_edge.study.cells import Cell, PlannedCell
from hkd_edge.study.methods import READY
from hkd_edge.study.ranges import Range, ends, merged, used_ranges, with_values
from hkd_edge.study.schema import LIKE, RANGES, VARIANTS, Search, Study, broken_rules
from hkd_edge_runtime.errors import did_you_mean

_ROOT = "study"


@dataclass(frozen=True)
class PlannedSearch:
    """A search: where it looks for what, and the recipe (of no seed yet) that its trials change."""

    method: str
    student: str
    label_fraction: float
    ranges: Mapping[str, Range]
    recipe: Recipe


@dataclass(frozen=True)
class Plan:
    """A study with all its cells, in the order in which they are run: by student, budget, seed, then method.

    `searches` come first, and change the recipes of the cells.
    """

    study: Study
    cells: tuple[PlannedCell, ...]
    searches: tuple[PlannedSearch, ...] = ()


def load_study(path: Path) -> Plan:
    """The study in the file `path` with the recipe of each cell.

    Raises:
        RecipeError: if it or its base recipe is missing or unreadable, or else with all that is wrong, line by line.
    """
    document = read_document(path, root=_ROOT, noun="study", error=RecipeError)
    study = _validated(document)
    base_path = find_recipe(study.base)
    base_path = base_path if base_path.is_absolute() else _from_study(path, study.base)
    base = read_document(base_path, root="recipe", noun="recipe", error=RecipeError)
    recipes = _Recipes(study, document, base, path.parent, base_path.parent)
    return Plan(study, tuple(recipes.plan()), tuple(recipes.searches()))


def _from_study(path: Path, base: str) -> Path:
    return path.parent / Path(base).expanduser()


class _Recipes:
    """The recipes of a study's cells: the base, then what the study, the student, the method and the variant change."""

    def __init__(self, study: Study, document: Document, base: Document, folder: Path, base_folder: Path) -> None:
        self._study = study
        self._document = document
        self._folder = folder
        self._base_folder = base_folder
        self._base = self._with(base, ("set",), study.overrides)

    def plan(self) -> Iterator[PlannedCell]:
        study = self._study
        recipes = self._by_student_and_method()
        settings = [(fraction, "") for fraction in study.label_budgets]
        settings += [(1.0, unmet) for unmet in self._unmet_classes(next(iter(recipes.values())))]
        for student, (fraction, unmet), seed in itertools.product(study.students, settings, study.seeds):
            for (name, method, variant), recipe in recipes.items():
                if name == student:
                    cell = Cell(method, variant, student, fraction, unmet, seed)
                    yield PlannedCell(cell, placed(recipe, cell))

    def searches(self) -> Iterator[PlannedSearch]:
        """The searches of each student and budget; that of all labels also for classes that are left out."""
        study, search = self._study, self._study.search
        if search is None:
            return
        budgets = dict.fromkeys((*study.label_budgets, *([1.0] if study.unmet_classes else [])))
        for (student, method, _), recipe in self._by_student_and_method().items():
            ranges = {**search.ranges, **study.methods[method].get(RANGES, {})}
            for fraction in budgets:
                used = used_ranges(ranges, recipe, fraction)
                _check_ends(used, recipe, search)
                yield PlannedSearch(method, student, fraction, used, recipe)

    def _by_student_and_method(self) -> dict[tuple[str, str, str], Recipe]:
        """The recipe of each (student, method, variant); all that is wrong with any of them is told at once."""
        recipes, complaints = {}, []
        for student, overrides in self._study.students.items():
            of_student = self._with(self._base, ("students", student), overrides)
            for method, variant, document in self._of_methods(of_student):
                try:
                    recipes[student, method, variant] = recipe_of(document, self._base_folder)
                except RecipeError as error:
                    complaints += str(error).splitlines()
        if complaints:
            raise RecipeError("\n".join(dict.fromkeys(complaints)))
        return recipes

    def _of_methods(self, document: Document) -> Iterator[tuple[str, str, Document]]:
        for name, method in self._study.methods.items():
            own = {key: value for key, value in method.items() if key not in (LIKE, VARIANTS, RANGES)}
            ready = READY.get(str(method.get(LIKE, name)), {})
            changed = self._with(_overlaid(document, ready, {}, f"method {name}"), ("methods", name), own)
            for variant, overrides in method.get(VARIANTS, {"": {}}).items():
                yield name, variant, self._with(changed, ("methods", name, VARIANTS, variant), overrides)

    def _with(self, document: Document, keys: Keys, overrides: Mapping[str, Any]) -> Document:
        """`document` with the overrides that the study writes at `keys`."""
        places = {at[len(keys) :]: place for at, place in self._document.places.items() if at[: len(keys)] == keys}
        return _overlaid(document, _with_whole_paths(overrides, self._folder), places, "study")

    def _unmet_classes(self, recipe: Recipe) -> tuple[str, ...]:
        if self._study.unmet_classes != "all":
            return self._study.unmet_classes
        from hkd_edge.data.load import load_dataset

        return load_dataset(recipe.data.dataset, recipe.data_root, download=recipe.data.download).classes


def _overlaid(document: Document, overrides: Mapping[str, Any], places: Mapping[Keys, Place], source: str) -> Document:
    """`document` with `overrides` laid over it key by key; faults in them are blamed on `places`."""
    blamed = {keys: places.get(keys, Place(source)) for keys in _all_keys(overrides, ())}
    return replace(document, value=merged(document.value, overrides), places={**document.places, **blamed, **places})


def _all_keys(section: Any, keys: Keys) -> Iterator[Keys]:
    if isinstance(section, Mapping):
        for key, value in section.items():
            yield (*keys, key)
            yield from _all_keys(value, (*keys, key))


def _with_whole_paths(section: Any, folder: Path, keys: Keys = ()) -> Any:
    """Relative paths in overrides start from the study's folder, not from the base recipe's."""
    if isinstance(section, Mapping):
        return {key: _with_whole_paths(value, folder, (*keys, key)) for key, value in section.items()}
    if isinstance(section, str) and section and _is_path(keys):
        return str(folder.absolute() / Path(section).expanduser())
    return section


def _is_path(keys: Keys) -> bool:
    try:
        return node_at(keys).get("format") == "path"
    except KeyError:  # no key of a recipe, which is told when the recipe is read
        return False


def _check_ends(ranges: Mapping[str, Range], recipe: Recipe, search: Search) -> None:
    """Raises RecipeError for a range that leads out of what a recipe may say."""
    for name, given in ranges.items():
        for value in ends(given):
            with_values(recipe, {name: value}, search.overrides.get("distill"))


def placed(recipe: Recipe, cell: Cell) -> Recipe:
    """`recipe` with what the cell stands for: its seed, its labels, the class that it leaves out."""
    data = {
        "label_fraction": cell.label_fraction,
        "label_seed": cell.seed,
        "unlabelled_classes": (cell.unmet,) if cell.unmet else (),
    }
    return recipe.model_copy(update={"seed": cell.seed, "data": recipe.data.model_copy(update=data)})


def _validated(document: Document) -> Study:
    try:
        study = Study.model_validate(document.value)
    except ValidationError as error:
        problems = (_problem(document, each) for each in error.errors())
        raise RecipeError(report([*document.problems, *problems])) from error
    broken = [Problem(document.place_of(keys), dotted(_ROOT, keys), text) for keys, text in broken_rules(study)]
    if document.problems or broken:
        raise RecipeError(report([*document.problems, *broken]))
    return study


def _problem(document: Document, error: ErrorDetails) -> Problem:
    keys: Keys = error["loc"]
    within_search = keys[:1] == ("search",) and len(keys) > 1
    section = Search if within_search else Study
    fields = {field.alias or name: field for name, field in section.model_fields.items()}
    name = str(keys[1 if within_search else 0]) if keys else ""
    if error["type"] == "extra_forbidden":
        near = did_you_mean(name, list(fields))
        text = f"unknown key.{near} Valid keys: {', '.join(fields)}."
    elif not keys:
        text = f"expected a section with the keys {', '.join(fields)}, got {shown(error['input'])}."
    else:
        extra = fields[name].json_schema_extra
        expected = extra["expected"] if isinstance(extra, dict) else "another value"
        keys = keys[:1] if keys[0] == "unmet_classes" else tuple(key for key in keys if key != "[key]")
        found = "none" if error["type"] == "missing" else shown(error["input"])
        text = f"expected {expected}, got {found}."
    return Problem(document.place_of(keys), dotted(_ROOT, keys), text)
