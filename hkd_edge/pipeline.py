"""The whole story: data -> concepts -> teach -> distill -> export -> validate -> bundle -> report.

Each stage writes files into the run directory and reads those of the stages before it; see `hkd_edge.run.stage` for
when one is skipped. Start here and go down.
"""

from __future__ import annotations

import errno
from pathlib import Path

from rich.console import Console

from hkd_edge.errors import GateError, RunDirectoryError
from hkd_edge.recipe import Recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge.run.directory import is_run, open_run
from hkd_edge.run.stage import Stage, Stamp, run_stage
from hkd_edge.stages.bundle import BUNDLE
from hkd_edge.stages.concepts import CONCEPTS
from hkd_edge.stages.data import DATA
from hkd_edge.stages.distill import DISTILL
from hkd_edge.stages.export import EXPORT
from hkd_edge.stages.report import REPORT
from hkd_edge.stages.teach import TEACH
from hkd_edge.stages.validate import VALIDATE
from hkd_edge.track.registry import require_packages
from hkd_edge.track.tracking import open_tracking
from hkd_edge.train.team import ALONE, Team

_FULL_OR_FORBIDDEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)

STAGES: tuple[Stage, ...] = (DATA, CONCEPTS, TEACH, DISTILL, EXPORT, VALIDATE, BUNDLE, REPORT)


def run_pipeline(
    recipe: Recipe,
    run: Path,
    reporter: Reporter,
    *,
    until: str = REPORT.name,
    resume: bool = False,
    overwrite: bool = False,
    team: Team = ALONE,
) -> dict[str, Stamp]:
    """Takes `recipe` through all stages up to `until` in the run directory `run`; the stamp of each by name.

    This process is the first of `team`; the others are in `help_pipeline`, and are let go when all is trained.

    Raises:
        RunDirectoryError: if `run` is there already and neither `resume` nor `overwrite` is set, or is unusable.
        MissingDependencyError: if a tracker that the recipe asks for is not installed; nothing was touched.
        HkdEdgeError: whatever a stage cannot do; the stages before it stay done.
    """
    require_packages(recipe.tracking)
    stamps: dict[str, Stamp] = {}
    try:
        with (
            open_run(run, recipe, resume=resume, overwrite=overwrite),
            open_tracking(recipe, run, reporter.warning) as tracking,
            reporter.tracked(tracking),
        ):
            context = Context(recipe, run, reporter, team)
            team.tell((recipe, run.absolute()))
            for stage in STAGES:
                stamps[stage.name] = _run_stage(stage, context, stamps)
                if stage.name in (DISTILL.name, until):
                    context.dismiss_team()
                if stage.name == until:
                    break
    except OSError as error:
        if error.errno not in _FULL_OR_FORBIDDEN:
            raise
        raise RunDirectoryError(
            f"{run}: expected to write the run's files, got: {error}. "
            "Free space or mend the permissions, then go on by --resume."
        ) from error
    return stamps


def help_pipeline(team: Team) -> None:
    """What every process of `team` does but the first: its part of the trainings, as the first one asks for it.

    Raises:
        RunDirectoryError: if the run directory is not the first one's, since it is on another machine.
        HkdEdgeError: whatever keeps it from its part.
    """
    recipe, run = team.hear()
    if not is_run(run):
        raise RunDirectoryError(
            f"{run}: expected the run directory that the first process has made, got none. Place it on a file system "
            "that all machines share, at the same path."
        )
    context = Context(recipe, run, Reporter(Console(quiet=True)), team)
    helped = {stage.name: stage.help for stage in STAGES}
    while (order := team.hear()) is not None:
        name, key = order
        help_with = helped[name]
        assert help_with is not None
        help_with(context, key)
    team.leave()


def _run_stage(stage: Stage, context: Context, stamps: dict[str, Stamp]) -> Stamp:
    try:
        return run_stage(stage, context, stamps)
    except GateError:
        # What failed is what people want to look at.
        REPORT.run(context, "")
        raise
