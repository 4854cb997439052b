"""`hkd-edge recipes list|show|schema|reference`. Heavy packages are imported inside the commands."""

from __future__ import annotations

import click

from hkd_edge.command_help import OrderedGroup, examples
from hkd_edge.completion import complete_recipe


@click.group(cls=OrderedGroup, epilog=examples("hkd-edge recipes list", "hkd-edge recipes show digits --resolved"))
def recipes() -> None:
    """The recipes that come with hkd-edge, and the keys that a recipe may have."""


@recipes.command("list", epilog=examples("hkd-edge recipes list"))
def recipes_list() -> None:
    """The names of the recipes that come with hkd-edge."""
    from hkd_edge.recipe import list_recipes

    for name in list_recipes():
        click.echo(name)


@recipes.command(
    "show",
    epilog=examples(
        "hkd-edge recipes show digits > my.yaml",
        "hkd-edge recipes show my.yaml --resolved --set distill.temperature=2",
    ),
)
@click.argument("recipe", shell_complete=complete_recipe)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the recipe.")
@click.option("--resolved", is_flag=True, help="With all defaults filled in.")
def recipes_show(recipe: str, overrides: tuple[str, ...], resolved: bool) -> None:
    """RECIPE (a name or a path) as it is written, or as it is understood."""
    from hkd_edge.recipe import dump_recipe, find_recipe, load_recipe

    loaded = load_recipe(recipe, overrides)
    if resolved or overrides:
        click.echo(dump_recipe(loaded), nl=False)
    else:
        click.echo(find_recipe(recipe).read_text(encoding="utf-8"), nl=False)


@recipes.command("schema", epilog=examples("hkd-edge recipes schema > recipe.schema.json"))
def recipes_schema() -> None:
    """The JSON schema of recipes, for editors that check while you type."""
    import json

    from hkd_edge.recipe import recipe_schema

    click.echo(json.dumps(recipe_schema(), indent=2))


@recipes.command("reference", epilog=examples("hkd-edge recipes reference > recipe.md"))
def recipes_reference() -> None:
    """Every key of a recipe with its type, limits, default and typical values, as Markdown."""
    from hkd_edge.recipe.reference import recipe_reference

    click.echo(recipe_reference(), nl=False)
