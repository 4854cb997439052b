"""The recipes that come with hkd-edge."""

from __future__ import annotations

import pytest

from hkd_edge.concepts import load_hierarchy, measure
from hkd_edge.recipe import dump_recipe, list_recipes, load_recipe, recipes_folder

CLASSES = {
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "digits": tuple("0123456789"),
}


def test_the_names_are_those_of_the_documentation():
    assert list_recipes() == (
        *("digits", "fashion_mnist", "fashion_mnist_100k", "fashion_mnist_25k", "fashion_mnist_full"),
        "fashion_mnist_imagenet_teacher",
    )


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_loads_by_name_and_is_named_so(name):
    assert load_recipe(name).name == name


@pytest.mark.parametrize("name", list_recipes())
def test_a_dumped_recipe_loads_to_an_equal_one(name, write):
    recipe = load_recipe(name)
    assert load_recipe(write(dump_recipe(recipe))) == recipe


@pytest.mark.parametrize("name", list_recipes())
def test_a_hierarchy_fits_its_data_set(name):
    recipe = load_recipe(name)
    assert recipe.hierarchy_path is not None
    hierarchy = load_hierarchy(recipe.hierarchy_path, CLASSES[recipe.data.dataset])
    assert len(hierarchy.axes) == 2


def test_the_digits_hierarchy_identifies_no_class():
    hierarchy = load_hierarchy(recipes_folder() / "digits.concepts.yaml", CLASSES["digits"])
    assert measure(hierarchy).identified_classes == ()
