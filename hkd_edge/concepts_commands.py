"""`hkd-edge concepts make|suggest|check|show`. Heavy packages are imported inside the commands."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hkd_edge.bundle_commands import MakeByDefault
from hkd_edge.command_help import examples
from hkd_edge.completion import complete_recipe_or_run, complete_run

if TYPE_CHECKING:
    from hkd_edge.concepts.suggest import Basis, Evidence, Suggestion

_PATH = click.Path(path_type=Path)


def _counts(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[int | None, ...]:
    """Numbers of groups; `auto` is None."""
    wrong = [value for value in values if value != "auto" and not value.isdecimal()]
    if wrong:
        raise click.BadParameter(f'expected a whole number >= 2 or "auto", got {wrong[0]!r}.')
    return tuple(None if value == "auto" else int(value) for value in values)


@click.group(
    cls=MakeByDefault,
    context_settings={"ignore_unknown_options": True},
    epilog=examples(
        "hkd-edge concepts fashion_mnist                  # the same as: hkd-edge concepts make fashion_mnist",
        "hkd-edge concepts suggest runs/digits            # groups of classes that its network confuses, as YAML",
        "hkd-edge concepts check my.concepts.yaml",
        "hkd-edge concepts show fashion_mnist",
    ),
)
def concepts() -> None:
    """Group the classes: suggest a hierarchy of concepts, check one, show one."""


@concepts.command(
    epilog=examples(
        "hkd-edge concepts suggest runs/digits -o digits.concepts.yaml --picture digits.svg",
        "hkd-edge concepts suggest runs/digits --axes 2 --groups 3 --groups auto",
    )
)
@click.argument("source", metavar="RUN|FOLDER", type=_PATH, shell_complete=complete_run)
@click.option("--axes", type=click.IntRange(1), default=1, show_default=True, help="Ways of grouping.")
@click.option(
    "--groups",
    metavar="K|auto",
    multiple=True,
    callback=_counts,
    help="On the first axis; again for the next. [default: auto]",
)
@click.option(
    "--by",
    type=click.Choice(("confusions", "embeddings")),
    default="confusions",
    show_default=True,
    help="What the classes' distances come from.",
)
@click.option("-o", "--output", type=_PATH, help="File for the YAML. [default: print it]")
@click.option("--picture", type=_PATH, help="File for the tree as SVG; further axes get -2, -3, ... before the suffix.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def suggest(
    source: Path,
    axes: int,
    groups: tuple[int | None, ...],
    by: Basis,
    output: Path | None,
    picture: Path | None,
    force: bool,
) -> None:
    """Suggest groups of classes, as a hierarchy to edit.

    Of a RUN by the validation images: what its task teacher confuses, or its student if it has none. Of a FOLDER with a
    subfolder of images for each class by colours and edges alone, which is weaker: better make a run first.

    A second axis comes from what the first one leaves of the embeddings: how classes differ inside their groups.
    """
    from hkd_edge.concepts.suggest import suggest as suggest_groups
    from hkd_edge.concepts.written import to_yaml
    from hkd_edge_runtime.files import write_atomically

    if len(groups) > axes:
        raise click.UsageError(f"expected --groups at most once for each of {axes} axes, got it {len(groups)} times.")
    pictures = [] if picture is None else [_numbered(picture, number) for number in range(axes)]
    _refuse_existing([*pictures, *([output] if output else [])], force=force)
    suggestion = suggest_groups(_evidence(source), axes, groups, by)
    _tell(suggestion)
    text = to_yaml(suggestion)
    if picture is not None:
        from hkd_edge.report.picture import write_picture
        from hkd_edge.report.plots.dendrogram import dendrogram_plot

        for path, axis in zip(pictures, suggestion.axes, strict=False):  # there may be fewer axes than asked for
            write_picture(path, dendrogram_plot(axis))
            click.echo(path, err=True)
    if output is None:
        click.echo(text, nl=False)
        return
    with write_atomically(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    click.echo(output)


@concepts.command(epilog=examples("hkd-edge concepts check my.concepts.yaml", "hkd-edge concepts check photos/"))
@click.argument("source", metavar="FILE|RECIPE|FOLDER", shell_complete=complete_recipe_or_run)
def check(source: str) -> None:
    """Say all that is wrong with a hierarchy (exit code 4), and what a sound one is worth (0, also with warnings).

    Of a FILE, of a RECIPE (which knows all classes), of a run or project, or of folders of images within folders.
    """
    from hkd_edge.concepts.judge import judge
    from hkd_edge.grouping.sources import find_hierarchy

    found = find_hierarchy(source)
    axes, classes = len(found.hierarchy.axes), len(found.hierarchy.classes)
    click.echo(f"{found.title}: {_counted(axes, 'axis', 'axes')} over {classes} classes ({found.classes})")
    judgements = judge(found.hierarchy)
    for judgement in judgements:
        click.echo(f"{judgement.kind}: {judgement.text}")
    warnings = sum(judgement.kind == "warning" for judgement in judgements)
    click.echo(f"no errors, {_counted(warnings, 'warning', 'warnings')}")


@concepts.command(
    epilog=examples("hkd-edge concepts show fashion_mnist", "hkd-edge concepts show runs/digits --picture digits.svg")
)
@click.argument("source", metavar="FILE|RECIPE|RUN", shell_complete=complete_recipe_or_run)
@click.option("--picture", type=_PATH, help="File for the same as SVG.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def show(source: str, picture: Path | None, force: bool) -> None:
    """Show a hierarchy: each axis, its concepts, their classes; plain indented text if not on a terminal."""
    from rich.console import Console

    from hkd_edge.concepts.shown import plain, tree
    from hkd_edge.grouping.sources import shown_hierarchy

    _refuse_existing([picture] if picture else [], force=force)
    found = shown_hierarchy(source)
    console = Console()
    if console.is_terminal:
        console.print(tree(found.hierarchy, found.title))
    else:
        click.echo(plain(found.hierarchy))
    if picture is not None:
        from hkd_edge.report.picture import write_picture
        from hkd_edge.report.plots.concepts import hierarchy_plot

        write_picture(picture, hierarchy_plot(found.hierarchy))
        click.echo(picture, err=True)


def _evidence(source: Path) -> Evidence:
    from hkd_edge.run.directory import is_run

    if is_run(source):
        from hkd_edge.grouping.of_run import evidence_of_run

        return evidence_of_run(source)
    if not source.is_dir():
        raise click.UsageError(
            f"expected a run or a folder of images, got {source}, which is none. Of a recipe, make a run first: "
            f"hkd-edge distill {source}"
        )
    from hkd_edge.grouping.of_folder import evidence_of_folder

    return evidence_of_folder(source)


def _tell(suggestion: Suggestion) -> None:
    """The trees and how they came about, beside the YAML and not in it."""
    from hkd_edge.concepts.dendrogram import draw_text
    from hkd_edge.concepts.judge import agreement
    from hkd_edge.concepts.written import in_words, other_counts

    click.echo(f"From {suggestion.evidence.source}.", err=True)
    for axis in suggestion.axes:
        click.echo(f"\n{axis.name}: {in_words(axis)}\n\n{draw_text(axis.tree, axis.groups)}\n", err=True)
        click.echo(f"Other numbers of groups (silhouette): {other_counts(axis)}", err=True)
    for first, second in combinations(suggestion.hierarchy.axes, 2):
        score = agreement(first, second)
        click.echo(f"{first.name} and {second.name}: adjusted mutual information {score:.2f} (1 = the same)", err=True)
    for caution in suggestion.cautions:
        click.echo(f"caution: {caution}", err=True)


def _refuse_existing(paths: list[Path], *, force: bool) -> None:
    there = [str(path) for path in paths if path.exists()]
    if there and not force:
        raise click.UsageError(f"expected files that are not there yet, got {', '.join(there)}. Replace by --force.")


def _numbered(path: Path, number: int) -> Path:
    return path if number == 0 else path.with_stem(f"{path.stem}-{number + 1}")


def _counted(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
