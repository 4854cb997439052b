"""A run directory is refused, resumed, overwritten and locked as the user asked, and foreign files are never lost."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from hkd_edge.errors import RunDirectoryError
from hkd_edge.recipe import Recipe, load_recipe
from hkd_edge.run.directory import open_run


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("digits")


def make_run(path: Path, recipe: Recipe) -> None:
    with open_run(path, recipe, resume=False, overwrite=False):
        (path / "student").mkdir()
        (path / "student" / "student.pt").write_text("weights")


def test_a_new_run_holds_its_resolved_recipe_and_its_hierarchy(tmp_path: Path, recipe: Recipe) -> None:
    make_run(tmp_path / "run", recipe)
    again = load_recipe(str(tmp_path / "run" / "recipe.yaml"))
    assert again.distill == recipe.distill
    assert again.hierarchy_path == tmp_path / "run" / "hierarchy.yaml"
    assert recipe.hierarchy_path is not None
    assert again.hierarchy_path.read_text() == recipe.hierarchy_path.read_text()


def test_a_run_that_is_there_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    make_run(tmp_path, recipe)
    with (
        pytest.raises(RunDirectoryError, match=r"Go on with it by --resume.*or start anew by --overwrite"),
        open_run(tmp_path, recipe, resume=False, overwrite=False),
    ):
        pass


def test_resume_keeps_what_is_there(tmp_path: Path, recipe: Recipe) -> None:
    make_run(tmp_path, recipe)
    with open_run(tmp_path, recipe, resume=True, overwrite=False):
        assert (tmp_path / "student" / "student.pt").read_text() == "weights"


def test_overwrite_removes_the_run_but_not_what_somebody_else_put_there(tmp_path: Path, recipe: Recipe) -> None:
    make_run(tmp_path, recipe)
    (tmp_path / "notes.txt").write_text("mine")
    with open_run(tmp_path, recipe, resume=False, overwrite=True):
        assert not (tmp_path / "student").exists()
        assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_never_touched(tmp_path: Path, recipe: Recipe, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(RunDirectoryError, match=r"got a folder with other files \(thesis\.tex\). Nothing was touched"),
        open_run(tmp_path, recipe, resume=not overwrite, overwrite=overwrite),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_a_run_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "run").write_text("")
    with (
        pytest.raises(RunDirectoryError, match="expected a run directory, got a file"),
        open_run(tmp_path / "run", recipe, resume=True, overwrite=False),
    ):
        pass


def test_a_second_process_in_the_same_run_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    with open_run(tmp_path, recipe, resume=False, overwrite=False):
        child = multiprocessing.get_context("spawn").Process(target=enter, args=(tmp_path,))
        child.start()
        child.join()
    assert child.exitcode == RunDirectoryError.exit_code


def enter(path: Path) -> None:
    try:
        with open_run(path, load_recipe("digits"), resume=True, overwrite=False):
            raise SystemExit(0)
    except RunDirectoryError as error:
        raise SystemExit(error.exit_code if "another hkd-edge at work" in str(error) else 1) from error


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path, recipe: Recipe) -> None:
    make_run(tmp_path, recipe)
    torn = tmp_path / "student" / ".student.0123456789ab.pt"
    torn.write_text("half")
    with open_run(tmp_path, recipe, resume=True, overwrite=False):
        assert not torn.exists()
        assert (tmp_path / "student" / "student.pt").exists()
