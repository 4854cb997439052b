"""`hkd-edge data make|check|import`. Heavy packages are imported inside the commands."""

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
        "hkd-edge data import saved/ -o photos            # Hugging Face's data sets, idx files",
        "hkd-edge data my.yaml                            # the same as: hkd-edge data make my.yaml",
    ),
)
def data() -> None:
    """Look at a set of images, bring one over from another form, or load that of a recipe."""


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


@data.command(
    "import",
    epilog=examples(
        "hkd-edge data import cifar100/ -o photos --label fine_label --concept coarse_label",
        "hkd-edge data import mnist/ -o digits            # idx files; the classes are 0 to 9",
        "hkd-edge data import kmnist/ -o kana --classes kana.txt",
    ),
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    *("-o", "--output", "folder"),
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    required=True,
    help="Where to write; must not be there.",
)
@click.option("--image", metavar="COLUMN", help="The images. [default: the one column of images]")
@click.option("--label", metavar="COLUMN", help="The classes. [default: the one column of class labels]")
@click.option("--concept", "concepts", metavar="COLUMN", multiple=True, help="An axis of concepts; may be repeated.")
@click.option(
    "--classes", metavar="FILE", type=click.Path(path_type=Path), help="Names of the classes of idx files, one a line."
)
def import_(
    source: Path, folder: Path, image: str | None, label: str | None, concepts: tuple[str, ...], classes: Path | None
) -> None:
    """Write the images of SOURCE to FOLDER as files, with FOLDER/list.csv, which hkd-edge init takes.

    SOURCE is a folder that Hugging Face's datasets saved (save_to_disk), one with its Parquet files, or one with idx
    files (train-images-idx3-ubyte.gz and such). Nothing is fetched.
    """
    from rich.console import Console

    from hkd_edge.importing.columns import Asked
    from hkd_edge.importing.command import import_images
    from hkd_edge.report.progress import Reporter

    with Reporter(Console(stderr=True)) as reporter:
        told = list(import_images(source, folder, Asked(image, label, concepts), classes, reporter.work))
    for line in told:
        click.echo(line)
