"""The command line: parse, call, print. Heavy packages are imported inside the commands, so that help is instant."""

from __future__ import annotations

import os
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
    complete_recipe_or_run,
    complete_run,
    complete_source,
    complete_study,
    complete_target,
    completion,
)
from hkd_edge.concepts_commands import concepts
from hkd_edge.data_commands import data
from hkd_edge.recipes_commands import recipes
from hkd_edge_runtime.errors import HkdEdgeError
from hkd_edge_runtime.targets import ALIASES, TARGETS, canonical_name

_INTERRUPTED = 130  # 128 + SIGINT, as shells count
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


def _stage_command(name: str, until: str, text: str, lines: tuple[str, ...], group: click.Group = cli) -> None:
    """Adds the command `name` to `group`, which runs the pipeline up to and with stage `until`; `lines` show it."""

    @group.command(name, help=text, epilog=examples(*lines))
    @click.argument("recipe", metavar="RECIPE|RUN", shell_complete=complete_recipe_or_run)
    @click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        help="Run directory. [default: runs/NAME of the recipe]",
    )
    @click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the recipe.")
    @click.option("--resume", is_flag=True, help="Go on with a run that is there; what is done is skipped.")
    @click.option("--overwrite", is_flag=True, help="Delete a run that is there and start anew.")
    @click.option("--devices", type=click.IntRange(1), help="Processes that train together here, one for each GPU.")
    @click.option("--nodes", type=click.IntRange(1), default=1, help="Machines, each started by this command.")
    @click.option("--node", type=click.IntRange(0), default=0, help="Which of them this is: 0, 1, ...")
    @click.option("--address", metavar="HOST:PORT", help="Of machine 0, any free port, where all machines meet.")
    def command(
        recipe: str,
        output: Path | None,
        overrides: tuple[str, ...],
        resume: bool,
        overwrite: bool,
        devices: int | None,
        **machines: Any,
    ) -> None:
        if resume and overwrite:
            raise click.UsageError("expected --resume or --overwrite, got both.")
        if devices is not None or machines["nodes"] > 1:
            _launch_or_go_on(devices or 1, **machines)
        _run(recipe, output, overrides, until=until, resume=resume, overwrite=overwrite)


def _launch_or_go_on(devices: int, nodes: int, node: int, address: str | None) -> None:
    """Ends this process with the end of those that it starts, unless it is one of them or the only one."""
    from hkd_edge.run.launch import Place, launch, started_by_launch

    if started_by_launch() or devices * nodes == 1:
        return
    if "WORLD_SIZE" in os.environ:
        raise click.UsageError("expected torchrun or --devices, got both.")
    if nodes > 1 and (address is None or not address.rpartition(":")[2].isdigit()):
        raise click.UsageError(
            f"expected --address HOST:PORT of machine 0 for --nodes {nodes}, got {address or 'none'}."
        )
    if node >= nodes:
        raise click.UsageError(f"expected --node 0 to {nodes - 1}, got {node}.")
    sys.exit(launch(sys.argv[1:], Place(devices, nodes, node, address)))


def _run(recipe: str, output: Path | None, overrides: tuple[str, ...], **how: Any) -> None:
    """Runs the pipeline, alone or as one of the processes that torchrun or `--devices` has started."""
    from hkd_edge.errors import ProcessLostError
    from hkd_edge.run.launch import end_with_launch, started_by_launch

    if started_by_launch():
        end_with_launch()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        _run_first(recipe, output, overrides, **how)
        return
    from hkd_edge.pipeline import help_pipeline
    from hkd_edge.train.team import join_team

    try:
        with join_team() as team:
            if team.first:
                _run_first(recipe, output, overrides, **how, team=team)
            else:
                help_pipeline(team)
    except ProcessLostError as error:
        if started_by_launch():
            sys.exit(error.exit_code)  # which tells it once for all
        raise


def _run_first(recipe: str, output: Path | None, overrides: tuple[str, ...], **how: Any) -> None:
    from hkd_edge.recipe import load_recipe
    from hkd_edge.run.directory import RECIPE_FILE, is_run

    if is_run(Path(recipe)):
        # A run directory in the place of a recipe means: go on with it.
        output = output or Path(recipe)
        how["resume"] = how["resume"] or (output == Path(recipe) and not how["overwrite"])
        recipe = str(Path(recipe) / RECIPE_FILE)
    loaded = load_recipe(recipe, overrides)
    output = output or Path("runs") / loaded.name

    from rich.console import Console

    from hkd_edge.pipeline import run_pipeline
    from hkd_edge.report.progress import Reporter

    try:
        with Reporter(Console(stderr=True)) as reporter:
            run_pipeline(loaded, output, reporter, **how)
    except KeyboardInterrupt:
        command = click.get_current_context().command_path.partition(" ")[2]
        click.echo(f"\nstopped; go on by: hkd-edge {command} {output}", err=True)
        sys.exit(_INTERRUPTED)
    if how["until"] == "export":
        from hkd_edge.delivery.files import recorded_files

        for file in recorded_files(output / "artefacts"):
            click.echo(file)
    if how["until"] == "report":
        click.echo((output / "report.md").read_text(encoding="utf-8"))
    if how["until"] in ("bundle", "report"):
        click.echo(f"The bundle is in {output / 'bundle'}. Ask it: hkd-edge predict {output / 'bundle'} IMAGE...")


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


_stage_command(
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
_stage_command(
    "make",
    "data",
    "Load and check the images and hold validation images out.",
    ("hkd-edge data make my.yaml -o runs/mine",),
    data,
)
cli.add_command(concepts)
_stage_command(
    "make",
    "concepts",
    "Check the hierarchy and measure what it tells of the classes.",
    ("hkd-edge concepts make fashion_mnist",),
    concepts,
)
_stage_command("teach", "teach", "Train the teachers.", ("hkd-edge teach fashion_mnist -o runs/fashion_mnist",))
_stage_command(
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
    _run(source, output, added, until="export", resume=resume, overwrite=overwrite)


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


_stage_command(
    "make",
    "bundle",
    "Put what was found good into a bundle for the board; everything up to there.",
    ("hkd-edge bundle make runs/digits",),
    bundle,
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
        sys.exit(_INTERRUPTED)
    except HkdEdgeError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
