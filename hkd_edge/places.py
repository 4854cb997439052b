"""Where recipes, studies and runs lie. Nothing is imported for it, so that the shell's completion may ask too."""

from __future__ import annotations

from pathlib import Path

from hkd_edge.errors import RecipeError

RECIPE_FILE = "recipe.yaml"  # of a run directory
_HIERARCHY_SUFFIX = ".concepts"  # x.concepts.yaml is a hierarchy beside a recipe
_PACKAGE = Path(__file__).resolve().parent


def recipes_folder() -> Path:
    """The folder of the recipes that come with hkd-edge: in an installed package or at the top of a checkout.

    Raises:
        RecipeError: if there is neither.
    """
    for folder in (_PACKAGE / "_recipes", _PACKAGE.parent / "recipes"):
        if folder.is_dir():
            return folder
    raise RecipeError(f"expected the recipes beside {_PACKAGE}, found none. Install hkd-edge again.")


def list_recipes() -> tuple[str, ...]:
    """The names of the recipes that come with hkd-edge, sorted."""
    stems = (path.stem for path in recipes_folder().glob("*.yaml"))
    return tuple(sorted(stem for stem in stems if not stem.endswith(_HIERARCHY_SUFFIX)))


def studies_folder() -> Path:
    """The folder of the studies that come with hkd-edge.

    Raises:
        RecipeError: as `recipes_folder`.
    """
    return recipes_folder() / "studies"


def list_studies() -> tuple[str, ...]:
    """The names of the studies that come with hkd-edge, sorted."""
    return tuple(sorted(path.stem for path in studies_folder().glob("*.yaml")))


def is_run(path: Path) -> bool:
    """Whether `path` is a run directory."""
    return (path / RECIPE_FILE).is_file()
