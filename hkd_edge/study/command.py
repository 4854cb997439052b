"""What `hkd-edge study` does with its options."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from hkd_edge.errors import RecipeError
from hkd_edge.places import list_studies, studies_folder
from hkd_edge.study.cells import labels_title
from hkd_edge.study.load import Plan, load_study
from hkd_edge.study.ranges import shown_range
from hkd_edge_runtime.errors import did_you_mean


def run_study(name: str, output: Path | None, *, resume: bool, jobs: int, dry_run: bool) -> None:
    """Runs the study in a file or of a ready-made name, and writes its report.

    Raises:
        HkdEdgeError: as `load_study`, `open_study` and `run_cells`.
    """
    file = find_study(name)
    plan = load_study(file)
    folder = output or Path("studies") / plan.study.name
    # Threads that wait by spinning slow each other down where cells run side by side.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from hkd_edge.study.engine import open_study, run_cells  # torch

    if dry_run:
        for line in plan_lines(plan, folder):
            click.echo(line)
        return

    def tell(line: str) -> None:
        click.echo(line, err=True)

    with open_study(folder, file.read_bytes(), resume=resume):
        from hkd_edge.study.analysis import analyse
        from hkd_edge.study.search import run_searches
        from hkd_edge.study.write import write_study

        plan, searches = run_searches(plan, folder, jobs, tell)
        results = run_cells(plan, folder, jobs, tell)
        files = write_study(folder, analyse(plan.study, results, searches))
    click.echo(files[1].read_text(encoding="utf-8"))
    for written in files:
        click.echo(f"written: {written}", err=True)


def find_study(name: str) -> Path:
    """The file that `name` is, or the study of that name that comes with hkd-edge.

    Raises:
        RecipeError: if there is none.
    """
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        return Path(name)
    names = list_studies()
    if name not in names:
        raise RecipeError(
            f"expected the name of a study, got {name!r}.{did_you_mean(name, names)} Studies: {', '.join(names)}. "
            "One of your own is given by its path, which ends in .yaml."
        )
    return studies_folder() / f"{name}.yaml"


def plan_lines(plan: Plan, folder: Path) -> Iterator[str]:
    """What would be trained, and what is done already."""
    from hkd_edge.study.engine import finished
    from hkd_edge.study.work import job_of

    for search in plan.searches:
        ranges = ", ".join(f"{name} {shown_range(given)}" for name, given in search.ranges.items()) or "nothing"
        yield f"search {search.method}, student {search.student}, {labels_title(search.label_fraction)}: {ranges}"
    if plan.study.search is not None:
        trials, seeds = plan.study.search.trials, len(plan.study.search.seeds)
        count = sum(1 for search in plan.searches if search.ranges)
        yield f"{count} searches of {trials} trials with {seeds} seeds; they change the recipes of the cells below"
    jobs = [job_of(folder, planned) for planned in plan.cells]
    states = Counter(finished(job) is not None for job in jobs)
    for job in jobs:
        done = "done" if finished(job) is not None else "to do"
        yield f"{done:<6} {job.planned.cell.title} (teachers {job.teachers})"
    teachers = len({job.teachers for job in jobs})
    yield f"{len(jobs)} cells, {states[True]} of them done; teachers are trained {teachers} times"
