"""Where recipes, studies and runs are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd_edge import places
from hkd_edge.errors import RecipeError
from hkd_edge.places import is_run, list_recipes, list_studies, recipes_folder, studies_folder


def test_recipes_inside_an_installed_package_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "hkd_edge"
    (package / "_recipes").mkdir(parents=True)
    (package / "_recipes" / "theirs.yaml").touch()
    (package / "_recipes" / "theirs.concepts.yaml").touch()
    monkeypatch.setattr(places, "_PACKAGE", package)
    assert list_recipes() == ("theirs",)


def test_a_package_without_recipes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_PACKAGE", tmp_path / "hkd_edge")
    with pytest.raises(RecipeError, match=r"found none\. Install hkd-edge again\."):
        recipes_folder()


def test_studies_lie_beside_the_recipes_and_are_none() -> None:
    assert "digits" in list_studies()
    assert all((studies_folder() / f"{name}.yaml").is_file() for name in list_studies())
    assert not set(list_recipes()) & {"studies"}


def test_a_run_is_a_folder_with_its_recipe(tmp_path: Path) -> None:
    assert not is_run(tmp_path)
    (tmp_path / "recipe.yaml").touch()
    assert is_run(tmp_path)
