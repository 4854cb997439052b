from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hkd_edge.errors import RecipeError
from hkd_edge.recipe import dump_recipe, find_recipe, load_recipe, recipes_folder


def test_a_recipe_that_is_not_told_more_has_the_defaults(small):
    recipe = load_recipe(small)
    assert recipe.distill.weights.ce == 1.0
    assert recipe.export.precisions == ("fp32", "int8")
    assert recipe.validation.min_agreement == 98.0
    assert recipe.teacher is None


def test_a_recipe_cannot_be_changed(small):
    with pytest.raises(ValueError, match="frozen"):
        load_recipe(small).seed = 1


def test_relative_paths_start_from_the_recipe_s_folder(tmp_path, write):
    write("")
    folder = tmp_path / "deep"
    folder.mkdir()
    text = (recipes_folder() / "digits.yaml").read_text(encoding="utf-8")
    (folder / "r.yml").write_text(text.replace("dataset: digits", "dataset: digits\n  root: images"))
    recipe = load_recipe("deep/r.yml")
    assert recipe.hierarchy_path == Path("deep/digits.concepts.yaml")
    assert recipe.data_root == Path("deep/images")


def test_a_home_folder_is_understood(small, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    text = Path(small).read_text(encoding="utf-8").replace("dataset: digits", "dataset: digits, root: ~/images")
    Path(small).write_text(text, encoding="utf-8")
    assert load_recipe(small).data_root == Path("/home/ada/images")


def test_an_unknown_name_lists_the_choices_and_the_nearest():
    with pytest.raises(RecipeError) as caught:
        load_recipe("fashion_minst")
    assert str(caught.value) == (
        "expected the name of a recipe, got 'fashion_minst'. Did you mean 'fashion_mnist'? Recipes: digits, "
        "fashion_mnist, fashion_mnist_100k, fashion_mnist_25k, fashion_mnist_full, fashion_mnist_imagenet_teacher. "
        "One of your own is given by its path, "
        "which ends in .yaml."
    )


@pytest.mark.parametrize("path", ["mine.yaml", "mine.yml", "folder/mine"])
def test_what_looks_like_a_path_is_one(path):
    assert find_recipe(path) == Path(path)


def test_a_missing_file_is_named():
    with pytest.raises(RecipeError, match=r"^nowhere\.yaml: expected a recipe file, got an error: No such file"):
        load_recipe("nowhere.yaml")


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="expected a recipe file, got an error: Is a directory"):
        load_recipe(f"{tmp_path}/")


def test_an_empty_file_is_no_recipe(write):
    with pytest.raises(RecipeError, match=r"^x\.yaml: expected a recipe, got an empty file\.$"):
        load_recipe(write("# nothing but a comment\n"))


def test_a_list_is_no_recipe(write):
    with pytest.raises(
        RecipeError, match=r"^x\.yaml:1: recipe: expected a section with the keys version, .*, got a list\.$"
    ):
        load_recipe(write("- version: 1\n"))


def test_the_folder_does_not_make_recipes_differ(small, tmp_path):
    recipe = load_recipe(small)
    moved = recipe.in_folder(tmp_path)
    assert moved == recipe
    assert hash(moved) == hash(recipe)
    assert moved.folder == tmp_path
    assert recipe != load_recipe(small, ["seed=1"])


def test_a_moved_recipe_names_the_same_files(tmp_path):
    recipe = load_recipe("digits")
    moved = recipe.moved_to(tmp_path / "runs" / "digits")
    assert not Path(moved.concepts.hierarchy).is_absolute()
    assert moved.hierarchy_path.resolve() == recipe.hierarchy_path
    assert moved.data == recipe.data


def test_an_absolute_path_is_not_rewritten_by_a_move(small, tmp_path):
    recipe = load_recipe(small, ["data.root=/images"])
    assert recipe.moved_to(tmp_path).data.root == "/images"


@pytest.mark.parametrize("name", ["1e4", "08", "yes", "null", "3", "0x10"])
def test_a_dumped_name_that_looks_like_something_else_stays_text(small, write, name):
    recipe = load_recipe(small, [f"name='{name}'"])
    assert load_recipe(write(dump_recipe(recipe))).name == name


def test_reading_recipes_loads_nothing_heavy():
    heavy = {"torch", "onnx", "onnxruntime", "openvino", "nncf", "sklearn"}
    code = f"import sys, hkd_edge.recipe, hkd_edge.concepts; print(sorted({heavy!r} & set(sys.modules)))"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
