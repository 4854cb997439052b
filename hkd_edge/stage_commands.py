"""The commands that run stages of a recipe, in this process or in several. Heavy packages are imported inside."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from hkd_edge.command_help import examples
from hkd_edge.completion import complete_recipe_or_run

INTERRUPTED = 130  # 128 + SIGINT, as shells count


def add_stage_command(group: click.Group, name: str, until: str, text: str, lines: tuple[str, ...]) -> None:
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
        run_recipe(recipe, output, overrides, until=until, resume=resume, overwrite=overwrite)


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


def run_recipe(recipe: str, output: Path | None, overrides: tuple[str, ...], **how: Any) -> None:
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
        sys.exit(INTERRUPTED)
    if how["until"] == "export":
        from hkd_edge.delivery.files import recorded_files

        for file in recorded_files(output / "artefacts"):
            click.echo(file)
    if how["until"] == "report":
        click.echo((output / "report.md").read_text(encoding="utf-8"))
    if how["until"] in ("bundle", "report"):
        click.echo(f"The bundle is in {output / 'bundle'}. Ask it: hkd-edge predict {output / 'bundle'} IMAGE...")
