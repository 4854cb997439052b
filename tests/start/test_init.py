"""`hkd-edge init` on drawn photographs: what it writes runs as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hkd_edge.cli import cli
from hkd_edge.errors import DataError, RecipeError, RunDirectoryError
from hkd_edge.recipe import load_recipe
from hkd_edge_runtime import load
from hkd_edge_runtime.bundle import open_bundle
from tests.data.drawn import write_pictures, write_unlabelled


def called(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [*map(str, words)])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("images") / "my photos", 20)


def test_a_nested_folder_gets_a_recipe_with_a_concept_teacher(photos: Path, tmp_path: Path) -> None:
    result = called("init", tmp_path / "things", "--data", photos, "--minutes", "1")
    assert result.exit_code == 0, result.output
    recipe = load_recipe(str(tmp_path / "things" / "recipe.yaml"))
    assert recipe.name == "things"
    assert recipe.data_root is not None
    assert recipe.data_root.resolve() == photos.resolve()
    assert recipe.data.color == "rgb"
    assert recipe.teacher is not None
    assert recipe.hierarchy_from_data
    assert "80 in 4 classes" in result.output
    assert "- a concept teacher: the folders or columns group the classes by level_1" in result.output
    assert f"Next: hkd-edge run {tmp_path / 'things' / 'recipe.yaml'}" in result.output


def test_a_flat_folder_gets_none_and_says_how_to_find_groups(tmp_path: Path) -> None:
    flat = write_pictures(tmp_path / "flat", 12, nested=False)
    result = called("init", tmp_path / "things", "--data", flat, "--image-size", "32")
    assert result.exit_code == 0, result.output
    recipe = load_recipe(str(tmp_path / "things" / "recipe.yaml"))
    assert (recipe.teacher, recipe.concepts.hierarchy, recipe.data.image_size) == (None, None, (32, 32))
    assert "hkd-edge concepts suggest RUN" in result.output


def test_images_without_a_class_get_a_recipe_that_uses_them(tmp_path: Path) -> None:
    photos = write_unlabelled(write_pictures(tmp_path / "photos", 8), 10)
    result = called("init", tmp_path / "things", "--data", photos, "--image-size", "32")
    assert result.exit_code == 0, result.output
    recipe = load_recipe(str(tmp_path / "things" / "recipe.yaml"))
    assert recipe.teacher is not None
    assert recipe.distill.labelled_share == 0.5
    assert recipe.distill.weights.concept > 0
    assert "images       32 in 4 classes, and 40 without a class" in result.output
    assert "40 of 64 training images have no class: the concept teacher learns from them" in result.output


def test_images_without_a_class_and_nothing_that_groups_classes_get_none(tmp_path: Path) -> None:
    photos = write_unlabelled(write_pictures(tmp_path / "photos", 8), 2)
    shutil.rmtree(photos / "cornered")  # one kind is no axis
    result = called("init", tmp_path / "things", "--data", photos)
    assert isinstance(result.exception, DataError)
    assert "got 4 that are of none, such as round/_unlabelled/ball500.jpg (level_1 round)" in str(result.exception)
    assert not (tmp_path / "things" / "recipe.yaml").exists()


def test_a_recipe_that_is_there_is_not_touched(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("mine")
    result = called("init", tmp_path, "--data", photos)
    assert isinstance(result.exception, RunDirectoryError)
    assert "expected no recipe yet, got one, and nothing was touched" in str(result.exception)
    assert (tmp_path / "recipe.yaml").read_text() == "mine"


def test_images_that_a_run_would_refuse_get_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = called("init", tmp_path / "things", "--data", tmp_path / "empty")
    assert isinstance(result.exception, DataError)
    assert not (tmp_path / "things" / "recipe.yaml").exists()


def test_series_in_file_names_are_warned_of_until_they_are_kept_together(photos: Path, tmp_path: Path) -> None:
    for file in sorted(photos.rglob("*.jpg")):
        folder = tmp_path / "photos" / file.parent.relative_to(photos)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{file.parent.name}-{int(file.stem) % 4}_{file.name}").write_bytes(file.read_bytes())
    told = called("init", tmp_path / "one", "--data", tmp_path / "photos", "--image-size", "16").output
    assert "warning: file names look like series (box-0_..., 4 of them in class 'box')" in told
    grouped = ("--group-by", "^(.*[^0-9])[0-9]+[.]", "--max-unreadable", "0.02")
    result = called("init", tmp_path / "two", "--data", tmp_path / "photos", "--image-size", "16", *grouped)
    assert result.exit_code == 0, result.output
    assert "look like series" not in result.output
    assert "groups       16" in result.output
    data = load_recipe(str(tmp_path / "two" / "recipe.yaml")).data
    assert (data.group_by, data.max_unreadable) == (grouped[1], 0.02)


def test_a_wrong_expression_is_told(photos: Path, tmp_path: Path) -> None:
    result = called("init", tmp_path / "things", "--data", photos, "--group-by", "(")
    assert isinstance(result.exception, RecipeError)
    assert "--group-by: expected a regular expression, got '(': missing )" in str(result.exception)


@pytest.mark.slow
def test_three_commands_lead_from_a_tenth_of_the_classes_to_a_bundle_that_knows_them(tmp_path: Path) -> None:
    photos = write_unlabelled(write_pictures(tmp_path / "photos", 15), 90)
    assert called("init", tmp_path / "things", "--data", photos, "--image-size", "32", "--minutes", "1").exit_code == 0
    result = called("run", tmp_path / "things" / "recipe.yaml", "-o", tmp_path / "run")
    assert result.exit_code == 0, result.output
    unseen = write_pictures(tmp_path / "unseen", 10, start=1000)
    with load(tmp_path / "run" / "bundle") as model:
        answers = [(model.predict(path), path) for path in unseen.rglob("*.jpg")]
    assert sum(answer.label == path.parent.name for answer, path in answers) >= 24
    kinds = [answer.concepts["level_1"].concept == path.parent.parent.name for answer, path in answers]
    assert sum(kinds) >= 30


@pytest.mark.slow
def test_three_commands_lead_from_photographs_to_a_bundle_that_knows_them(tmp_path: Path) -> None:
    photos = write_pictures(tmp_path / "photos", 60)
    assert called("init", tmp_path / "things", "--data", photos, "--image-size", "32", "--minutes", "1").exit_code == 0
    result = called("run", tmp_path / "things" / "recipe.yaml", "-o", tmp_path / "run")
    assert result.exit_code == 0, result.output
    unseen = write_pictures(tmp_path / "unseen", 5, start=1000)
    with open_bundle(tmp_path / "run" / "bundle") as bundle:
        assert bundle.manifest.input.color == "rgb"
    with load(tmp_path / "run" / "bundle") as model:
        right = [model.predict(path).label == path.parent.name for path in unseen.rglob("*.jpg")]
    assert len(right) == 20
    assert sum(right) >= 17
