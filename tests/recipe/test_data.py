"""The section `data`: what one's own images need, and what named data sets cannot have."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd_edge.recipe import dump_recipe, load_recipe

DATA = "data: {dataset: digits}"


@pytest.mark.parametrize(("given", "size"), [("48", (48, 48)), ("[32, 64]", (32, 64))])
def test_one_number_is_a_square_and_two_are_height_and_width(write, small, given, size):
    recipe = load_recipe(small, [f"data={{dataset: folder, root: x, image_size: {given}}}"])
    assert recipe.data.image_size == size
    assert load_recipe(write(dump_recipe(recipe))) == recipe


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("dataset: folder, image_size: 32", "root: expected the folder of images for data set folder, got null."),
        ("dataset: list, image_size: 32", "root: expected the CSV or Parquet file that lists the images for data set"),
        ("dataset: folder, root: x", "image_size: expected height and width in pixels for data set folder, got null."),
        ("dataset: folder, root: x, image_size: [9]", "image_size: expected null or one side in pixels or [height, wi"),
        ("dataset: folder, root: x, image_size: [9, 3]", "image_size[1]: expected a whole number >= 4, got 3."),
        ("dataset: folder, root: x, image_size: true", "image_size: expected null or one side in pixels or [height, w"),
        ("dataset: folder, root: x, image_size: 9, group_by: '('", "group_by: expected a regular expression, got '('"),
        ("dataset: digits, image_size: 9", "image_size: expected none for data set digits, which is fixed."),
        ("dataset: digits, group_near_duplicates: false", "group_near_duplicates: expected none for data set digits"),
    ],
)
def test_what_does_not_fit_the_data_set_is_told(complaint, data, told):
    assert f"recipe.data.{told}" in complaint((DATA, f"data: {{{data}}}"))


def test_concepts_of_the_data_are_no_path(small, tmp_path):
    own = ["data={dataset: folder, root: x, image_size: 32}", "concepts.hierarchy=folders"]
    recipe = load_recipe(small, own)
    assert recipe.hierarchy_from_data
    assert recipe.hierarchy_path is None
    assert recipe.moved_to(tmp_path / "other").concepts.hierarchy == "folders"
    assert load_recipe(small, ["concepts.hierarchy=./folders"]).hierarchy_path == Path.cwd() / "folders"


def test_digits_bring_no_concepts(complaint):
    assert "recipe.concepts.hierarchy: expected the path of a hierarchy for data set digits, which brings no" in (
        complaint(overrides=("concepts.hierarchy=folders",))
    )
