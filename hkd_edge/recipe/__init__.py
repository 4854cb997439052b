"""Recipes: what a run shall do, as data. Nothing here imports a heavy package."""

from hkd_edge.places import list_recipes, recipes_folder
from hkd_edge.recipe.load import dump_recipe, find_recipe, load_recipe
from hkd_edge.recipe.outline import recipe_schema
from hkd_edge.recipe.schema import Recipe

__all__ = [
    "Recipe",
    "dump_recipe",
    "find_recipe",
    "list_recipes",
    "load_recipe",
    "recipe_schema",
    "recipes_folder",
]
