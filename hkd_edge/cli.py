"""The command line: parse, call, print. Heavy packages are imported inside the commands, so that help is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hkd_edge import __version__
from hkd_edge.bundle_commands import bundle
from hkd_edge.command_help import OrderedGroup, examples
from hkd_edge.completion import (
    PRECISIONS,
    PROGRAM,
    complete_bundle,
    complete_precision,
    complete_run,
    complete_source,
    complete_study,
    complete_target,
    completion,
)
from hkd_edge.concepts_commands import concepts
from hkd_edge.data_commands import data
from hkd_edge.recipes_commands import recipes
from hkd_edge.stage_commands import INTERRUPTED, add_stage_command, run_recipe
from hkd_edge_runtime.errors import HkdEdgeError
from hkd_edge_runtime.targets import ALIASES, TARGETS, canonical_name

_TARGETS = (*TARGETS, *ALIASES)
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(
    cls=OrderedGroup,
    context_settings=_CONTEXT,
    epilog=examples(
        "hkd-edge run digits -o runs/digits               # the whole way",
        "hkd-edge predict runs/digits/bundle photo.png    # ask the result",
        "hkd-edge doctor                                  # what this machine can do",
    ),
)
@click.version_option(__version__, "-V", "--version", prog_name="hkd-edge")
def cli() -> None:
    """From a labelled set of images to a verified, quantized classifier on an edge board."""


@cli.command(
    epilog=examples(
        "hkd-edge init birds --data photos/",
        "hkd-edge run birds/recipe.yaml -o birds/run",
        "hkd-edge predict birds/run/bundle photo.jpg",
    )
)
@click.argument("project", type=click.Path(path_type=Path))
@click.option(
    "--data", "source", required=True, metavar="FOLDER|LIST", type=click.Path(path_type=Path), help="Your images."
)
@click.option("--image-size", type=click.IntRange(8), help="Side in pixels. [default: by the images and this machine]")
@click.option(
    *("--minutes", "minutes"),
    type=click.FloatRange(0, min_open=True),
    default=6,
    show_default=True,
    help="That training may take on this machine.",
)
@click.option("--group-by", help="Regular expression on file names, as the recipe's data.group_by.")
@click.option("--max-unreadable", type=click.FloatRange(0, 1, max_open=True), help="Share. [default: 0.01]")
@click.option(
    "--hierarchy", type=click.Path(path_type=Path), help="Concepts of the classes as YAML. [default: folders]"
)
def init(
    project: Path,
    source: Path,
    image_size: int | None,
    minutes: float,
    group_by: str | None,
    max_unreadable: float | None,
    hierarchy: Path | None,
) -> None:
    """Look at your images and write PROJECT/recipe.yaml, a commented recipe that runs as it is.

    The images are a folder with a subfolder for each class, any number of folders deep, or a CSV or Parquet list.
    Says what it chose (image size, student, epochs) and why.
    """
    from rich.console import Console

    from hkd_edge.report.progress import Reporter
    from hkd_edge.start.command import Wanted, init_project

    wanted = Wanted(image_size, minutes, group_by, max_unreadable, hierarchy)
    with Reporter(Console(stderr=True)) as reporter:
        for line in init_project(project, source, wanted, reporter):
            click.echo(line)


add_stage_command(
    cli,
    "run",
    "report",
    "Take RECIPE the whole way, from its images to a verified bundle and its report.",
    (
        "hkd-edge run digits -o runs/digits",
        "hkd-edge run my.yaml --set distill.temperature=2",
        "hkd-edge run runs/digits                         # go on with a run",
    ),
)
cli.add_command(data)
add_stage_command(
    data,
    "make",
    "data",
    "Load and check the images and hold validation images out.",
    ("hkd-edge data make my.yaml -o runs/mine",),
)
cli.add_command(concepts)
add_stage_command(
    concepts,
    "make",
    "concepts",
    "Check the hierarchy and measure what it tells of the classes.",
    ("hkd-edge concepts make fashion_mnist",),
)
add_stage_command(cli, "teach", "teach", "Train the teachers.", ("hkd-edge teach fashion_mnist -o runs/fashion_mnist",))
add_stage_command(
    cli,
    "distill",
    "distill",
    "Train the student; everything up to here.",
    (
        "hkd-edge distill digits -o runs/soft --set distill.temperature=8",
        "hkd-edge distill runs/soft                       # go on with it",
    ),
)


@cli.command(
    epilog=examples(
        "hkd-edge export runs/digits --target trt --precision fp16",
        "hkd-edge export runs/digits/student/student.pt --target ov --images photos/",
        "hkd-edge export digits --target onnx --dry-run",
    )
)
@click.argument("source", metavar="RECIPE|RUN|FILE", shell_complete=complete_source)
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    type=click.Choice(_TARGETS),
    help="Runtime to make files for; repeatable.",
)
@click.option("--precision", "precisions", multiple=True, type=click.Choice(PRECISIONS), help="Repeatable.")
@click.option("--max-drop", type=click.FloatRange(0), help="Points of top-1 that int8 may lose. [default: 0.5]")
@click.option("--images", type=click.Path(path_type=Path), help="For FILE: images to calibrate int8 and to compare by.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Run directory, or for FILE the folder to write.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the recipe.")
@click.option("--resume", is_flag=True, help="Go on with a run that is there; what is done is skipped.")
@click.option("--overwrite", is_flag=True, help="Delete a run that is there and start anew.")
@click.option("--dry-run", is_flag=True, help="Say what would be made and how, and do nothing.")
def export(
    source: str,
    targets: tuple[str, ...],
    precisions: tuple[str, ...],
    max_drop: float | None,
    images: Path | None,
    output: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Make the files for ONNX Runtime, OpenVINO and TensorRT.

    Of a RUN (or a RECIPE, whose earlier stages then come first), or of a bare FILE: the student.pt of a run, or an fp32
    .onnx file that keeps the contract (uint8 images in, logits and probabilities out). Targets and precisions are added
    to those that a RUN has; for a RECIPE they take the place of its own.
    """
    from hkd_edge.delivery.request import Request, describe, export_bare_file, is_exportable, overrides_for

    names: Any = tuple(dict.fromkeys(canonical_name(name) for name in targets))
    formats: Any = tuple(dict.fromkeys(precisions))
    request = Request(names, formats, max_drop)
    if is_exportable(Path(source)):
        if resume or overwrite or overrides:
            raise click.UsageError("expected --set, --resume and --overwrite with a recipe or run only, got a file.")
        export_bare_file(Path(source), request, output, images, click.echo, dry_run=dry_run)
        return
    if images is not None:
        raise click.UsageError("expected --images with a file only; a recipe or run has its own images.")
    added = (*overrides_for(request, source), *overrides)
    if dry_run:
        for line in describe(source, added):
            click.echo(line)
        return
    run_recipe(source, output, added, until="export", resume=resume, overwrite=overwrite)


@cli.command(
    epilog=examples(
        "hkd-edge validate runs/digits --max-p95-ms 2 --junit gates.xml",
        "hkd-edge validate bundle.hkd --data photos/ --target ov",
    )
)
@click.argument("source", metavar="RUN|BUNDLE|RECIPE", shell_complete=complete_source)
@click.option(
    *("-t", "--target", "--targets", "targets"),
    multiple=True,
    type=click.Choice(_TARGETS),
    help="Repeatable. [default: all]",
)
@click.option("--data", type=click.Path(path_type=Path), help="Labelled images instead, a subfolder for each class.")
@click.option("--max-top1-drop", type=click.FloatRange(0), help="Points of top-1 that an artefact may lose.")
@click.option("--max-class-drop", type=click.FloatRange(0), help="Points that it may lose in any one class.")
@click.option("--min-agreement", type=click.FloatRange(0, 100), help="Percent of answers like the student's.")
@click.option("--min-cross-agreement", type=click.FloatRange(0, 100), help="Percent of equal answers of two runtimes.")
@click.option("--max-p95-ms", type=click.FloatRange(0, min_open=True), help="Latency of one image, of what ships.")
@click.option("--max-size-bytes", type=click.IntRange(1), help="Size of the files of what ships.")
@click.option("--max-rss-mb", type=click.FloatRange(0, min_open=True), help="Memory of a process with what ships.")
@click.option("--int8-must-be-faster/--int8-may-be-slower", default=None, help="Whether a slower int8 fails.")
@click.option("--junit", type=click.Path(path_type=Path), help="File for the gates as JUnit's XML.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="File for all figures as JSON.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="For BUNDLE: folder for the report.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the recipe.")
def validate(
    source: str,
    targets: tuple[str, ...],
    data: Path | None,
    junit: Path | None,
    json_file: Path | None,
    output: Path | None,
    overrides: tuple[str, ...],
    **gates: Any,
) -> None:
    """Judge the artefacts of RUN or BUNDLE, as they are, by gates: accuracy, agreement, latency, size, memory.

    Nothing is made again. Gates that are not given are those of the recipe. A failed gate ends with exit code 9. For a
    RECIPE everything up to there is made first, in runs/NAME or the folder given by -o.
    """
    from rich.console import Console

    from hkd_edge.report.progress import Reporter
    from hkd_edge.run.directory import is_run
    from hkd_edge.validation.command import Request, validate_path, validate_recipe

    names = tuple(dict.fromkeys(canonical_name(name) for name in targets))
    given = {name: value for name, value in gates.items() if value is not None}
    request = Request(names, data, given, output, junit, json_file)
    with Reporter(Console(stderr=True)) as reporter:
        if is_run(Path(source)) or Path(source).is_dir() or Path(source).suffix == ".hkd":
            validate_path(Path(source), request, overrides, reporter)
        else:
            validate_recipe(source, request, overrides, reporter)


@cli.command(epilog=examples("hkd-edge compare runs/plain runs/distilled -o comparison.html"))
@click.argument("runs", nargs=-1, metavar="RUN RUN...", type=click.Path(path_type=Path), shell_complete=complete_run)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="HTML page to write.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
@click.option(
    "--baseline", type=click.IntRange(1), default=1, show_default=True, help="The RUN to hold others against."
)
def compare(runs: tuple[Path, ...], output: Path | None, json_file: Path | None, baseline: int) -> None:
    """Put validated RUNs side by side, and say which differences in accuracy their test images can tell.

    Each run against the baseline, its student and every artefact that both have: on how many of the same test images
    only one is right, the difference with its interval, and McNemar's test, corrected for the number of comparisons.
    """
    from hkd_edge.compare.command import run_compare

    run_compare(runs, output, json_file, baseline)


@cli.command(
    epilog=examples(
        "hkd-edge study digits --dry-run",
        "hkd-edge study digits -o studies/digits --jobs 2",
        "hkd-edge study digits -o studies/digits --resume",
    )
)
@click.argument("study", metavar="STUDY", shell_complete=complete_study)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder. [default: studies/NAME of the study]")
@click.option("--resume", is_flag=True, help="Go on with a study that is there; cells that are done are kept.")
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes, which share the threads."
)
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and do nothing.")
def study(study: str, output: Path | None, resume: bool, jobs: int, dry_run: bool) -> None:
    """Train methods x seeds x label budgets x students as STUDY (a file or a name) says, and compare seed by seed."""
    from hkd_edge.study.command import run_study

    run_study(study, output, resume=resume, jobs=jobs, dry_run=dry_run)


add_stage_command(
    bundle,
    "make",
    "bundle",
    "Put what was found good into a bundle for the board; everything up to there.",
    ("hkd-edge bundle make runs/digits",),
)
cli.add_command(bundle)


@cli.command(
    epilog=examples(
        "hkd-edge predict runs/digits/bundle three.png --top 3",
        "hkd-edge predict birds.hkd photos/*.jpg --json --require-signature release.pub.pem",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path), shell_complete=complete_bundle)
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--target",
    default="auto",
    show_default=True,
    help=f"auto, {', '.join(TARGETS)}.",
    shell_complete=complete_target,
)
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    help=f"auto, {', '.join(PRECISIONS)}.",
    shell_complete=complete_precision,
)
@click.option("--top", default=1, show_default=True, type=click.IntRange(1), help="How many classes to show.")
@click.option("--require-signature", "key", metavar="KEY", help="Public key by which BUNDLE must be signed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each image.")
def predict(
    bundle: Path, images: tuple[Path, ...], target: str, precision: str, top: int, key: str | None, as_json: bool
) -> None:
    """Classify IMAGES with BUNDLE, by the board's own wrapper (`python -m hkd_edge_runtime predict`)."""
    from hkd_edge_runtime.__main__ import main as runtime_main

    arguments = ["predict", str(bundle), *map(str, images), "--target", target, "--precision", precision]
    required = ["--require-signature", key] if key else []
    sys.exit(runtime_main([*arguments, "--top", str(top), *required, *(["--json"] if as_json else [])]))


@cli.command(
    epilog=examples(
        "hkd-edge bench runs/digits/bundle",
        "hkd-edge bench runs/digits/bundle --host pi@raspberrypi",
        "hkd-edge bench --host pi@raspberrypi --clean",
    )
)
@click.argument("bundle", required=False, type=click.Path(path_type=Path), shell_complete=complete_bundle)
@click.option("--host", metavar="USER@BOARD", help="Measure there, over ssh, instead of here.")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the board's ssh server.")
@click.option("--ssh-option", "ssh_options", multiple=True, metavar="KEY=VALUE", help="As ssh's -o; repeatable.")
@click.option("--python", metavar="PATH", help="Python on the board that has the runtimes; nothing is installed then.")
@click.option("--wheelhouse", type=click.Path(path_type=Path), help="Wheels to install, for a board without network.")
@click.option("--directory", help="Our folder on the board. [default: ~/.cache/hkd-edge/bench]")
@click.option("--clean", is_flag=True, help="Remove our folder on the board, at the end or without BUNDLE at once.")
@click.option("--timeout", type=click.FloatRange(1), default=3600, help="Seconds for the board. [default: 3600]")
@click.option(
    "--target",
    default="auto",
    help="onnxruntime, openvino, ... [default: all that work there]",
    shell_complete=complete_target,
)
@click.option("--precision", default="auto", help="fp32, int8, ... [default: all]", shell_complete=complete_precision)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the runtime.")
@click.option("--batch", "batches", type=click.IntRange(1), multiple=True, help="Repeatable. [default: 8 and 32]")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Per artefact and batch. [default: 2]")
@click.option("--repeats", type=click.IntRange(1), help="How often, instead of --seconds.")
@click.option("--raw/--no-raw", default=True, help="Time the bare runtime beside predict. [default: yes]")
@click.option("--starts", type=click.IntRange(1), default=3, show_default=True, help="Cold starts.")
@click.option("--images", type=click.Path(path_type=Path), help="Labelled images, a subfolder for each class.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File for the JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON.")
def bench(bundle: Path | None, **options: Any) -> None:
    """Measure BUNDLE here or on a board: latency, throughput, cold start, memory, temperature, throttling, accuracy.

    On a board all is kept in one folder for the next time. In a run directory the figures of a board are also written
    to RUN/boards.
    """
    from hkd_edge.board.command import run_bench

    run_bench(bundle, **options)


@cli.command(epilog=examples("hkd-edge report runs/digits"))
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_run)
def report(run: Path) -> None:
    """Make report.html, report.md and report.json of a validated RUN, from the files of its directory alone."""
    from hkd_edge.report.write import write_report

    for file in write_report(run):
        click.echo(file)


cli.add_command(recipes)


@cli.command(epilog=examples("hkd-edge doctor", "hkd-edge doctor --json"))
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def doctor(as_json: bool) -> None:
    """Say what this machine can do: torch, devices, runtimes, data sources."""
    from hkd_edge.doctor import examine, render

    findings = examine()
    click.echo(render(findings, as_json=as_json))


cli.add_command(completion)


def main() -> None:
    """The console script: every error of ours is one message and its own exit code."""
    try:
        cli(prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except HkdEdgeError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
