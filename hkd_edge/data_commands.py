"""`hkd-edge data make|check`. Heavy packages are imported inside the commands."""

from __future__ import annotations

from pathlib import Path

import click

from hkd_edge.bundle_commands import MakeByDefault
from hkd_edge.command_help import examples


@click.group(
    cls=MakeByDefault,
    context_settings={"ignore_unknown_options": True},
    epilog=examples(
        "hkd-edge data check photos/                      # what is in it, and what a run would refuse",
        "hkd-edge data my.yaml                            # the same as: hkd-edge data make my.yaml",
    ),
)
def data() -> None:
    """Look at a set of images, or load that of a recipe."""


@data.command(epilog=examples("hkd-edge data check photos/", "hkd-edge data check photos.csv --json"))
@click.argument("source", metavar="FOLDER|LIST", type=click.Path(path_type=Path))
@click.option("--size", type=click.IntRange(4), default=64, show_default=True, help="Side in pixels to compare at.")
@click.option("--group-by", help="Regular expression on file names, as the recipe's data.group_by.")
@click.option("--max-unreadable", type=click.FloatRange(0, 1, max_open=True), help="Share. [default: 0.01]")
@click.option("--json", "in_json", is_flag=True, help="As one JSON object, with every duplicate.")
def check(source: Path, size: int, group_by: str | None, max_unreadable: float | None, in_json: bool) -> None:
    """Say what is in FOLDER (a subfolder for each class, any depth) or LIST (.csv, .tsv, .parquet) of images.

    Classes, sizes, unreadable files, duplicates within and between classes and splits. What a run would refuse ends
    with exit code 5.
    """
    from rich.console import Console

    from hkd_edge.data.check import as_json, as_text
    from hkd_edge.data.check import check as check_images
    from hkd_edge.recipe.data import Data, broken_data
    from hkd_edge.report.progress import Reporter

    given = {"group_by": group_by, "max_unreadable": max_unreadable}
    asked = {"dataset": "folder" if source.is_dir() else "list", "root": str(source), "image_size": size, **given}
    settings = {name: value for name, value in asked.items() if value is not None}
    for name, reason in broken_data(settings):
        raise click.BadParameter(reason, param_hint=f"--{name.replace('_', '-')}")
    with Reporter(Console(stderr=True)) as reporter:
        findings, refused = check_images(source, Data.model_validate(settings), reporter.work)
    click.echo(as_json(findings, refused) if in_json else as_text(findings))
    if refused is not None:
        raise refused
