"""The pages of docs/ that are made from the code: `python -m docs.tools.pages` writes them anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.tools.api import runtime_api
from docs.tools.commands import commands
from hkd_edge.recipe.reference import recipe_reference

DOCS = Path(__file__).resolve().parents[1]
# Where more is told about a section of a recipe.
_SECTION_LINKS = {
    "data": "[data.md](data.md)",
    "concepts": "[concepts.md](concepts.md)",
    "architecture": "[students.md](students.md)",
    "teacher, task_teacher": "[teachers.md](teachers.md)",
    "foreign": "[teachers.md](teachers.md#a-foreign-network)",
    "distill": "[method.md](method.md)",
    "distill.weights": "[method.md](method.md#losses)",
    "export": "[targets.md](targets.md)",
    "export.tensorrt": "[targets.md](targets.md)",
    "export.fine_tuning": "[targets.md](targets.md#the-ladder-to-int8)",
    "validate": "[validation.md](validation.md#gates)",
    "validate.selective": "[method.md](method.md#sure-answers)",
    "bundle": "[trust.md](trust.md), [runtime/README.md](../runtime/README.md#accuracy-on-the-board)",
    "tracking": "[tracking.md](tracking.md)",
}


def _recipe() -> str:
    return recipe_reference(_SECTION_LINKS)


PAGES: dict[str, Callable[[], str]] = {
    "recipe.md": _recipe,
    "commands.md": commands,
    "runtime-api.md": runtime_api,
}


def main() -> None:
    """Writes all pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
