"""Searches: for each method, student and label budget as many trials, on validation images alone, by Optuna.

The first trials are those of `draws`, the same for all methods; then TPE asks after what it was told of them.
Nothing of Optuna's is stored. A sampler with a seed asks for the same values when it is told the same results, and
results are kept as files: a search that was broken off is asked again from the start, and finds its trials done.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hkd_edge.errors import MissingDependencyError, TrainingError
from hkd_edge.recipe.outline import node_at
from hkd_edge.study.cells import Cell, PlannedCell, TrialResult
from hkd_edge.study.draws import first_draws
from hkd_edge.study.engine import run_jobs
from hkd_edge.study.load import Plan, PlannedSearch, placed
from hkd_edge.study.ranges import Range, Value, value_at, with_values
from hkd_edge.study.schema import Search
from hkd_edge.study.work import Job, job_of

if TYPE_CHECKING:
    import optuna

_DRAWN = 10  # trials before TPE has enough to go by; Optuna's own default
_DIGITS = 4  # significant ones of a value: what is shown is what was trained


@dataclass(frozen=True)
class Trial:
    """One try: its values by dotted key, its top-1 on validation images (mean over seeds; None if it failed)."""

    number: int
    values: Mapping[str, Value]
    top1: float | None
    seconds: float


@dataclass(frozen=True)
class Found:
    """A search that is done. Without a range that the method has use of there are no trials."""

    method: str
    student: str
    label_fraction: float
    ranges: Mapping[str, Range]
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """The trial with the highest top-1, of equals the first; None without trials.

        Raises:
            TrainingError: if all failed.
        """
        scored = [trial for trial in self.trials if trial.top1 is not None]
        if self.trials and not scored:
            where = f"{self.method}, student {self.student}, {self.label_fraction:g} of the labels"
            raise TrainingError(f"{where}: expected a trial that can be trained, got none. Narrow search.ranges.")
        return max(scored, key=lambda trial: trial.top1 or 0.0, default=None)


def run_searches(
    plan: Plan, folder: Path, processes: int, tell: Callable[[str], None]
) -> tuple[Plan, tuple[Found, ...]]:
    """The plan with the best of each search in its cells, and the searches; trials that are done are read.

    Raises:
        MissingDependencyError: without Optuna.
        TrainingError: if all trials of a search failed, or one for a reason that is not its values.
    """
    settings = plan.study.search
    if settings is None:
        return plan, ()
    running = [_Running(planned, settings, folder) for planned in plan.searches]
    for begun in range(0, settings.trials, settings.at_once):
        count = min(settings.at_once, settings.trials - begun)
        asked = {search: search.ask(count) for search in running if search.planned.ranges}
        tell(f"search: trials {begun + 1} to {begun + count} of {settings.trials} of {len(asked)} searches")
        results = run_jobs([job for jobs in asked.values() for trial in jobs for job in trial], processes, tell)
        for search, trials in asked.items():
            for jobs in trials:
                search.tell([results[job] for job in jobs])
    found = tuple(search.found() for search in running)
    return _with_best(plan, found), found


class _Running:
    """A search while it runs: Optuna's study and what it was told."""

    def __init__(self, planned: PlannedSearch, settings: Search, folder: Path) -> None:
        self.planned = planned
        self._settings = settings
        self._folder = folder
        self._study = _sampled(planned, settings) if planned.ranges else None
        self._open: list[tuple[optuna.Trial, dict[str, Value]]] = []
        self._trials: list[Trial] = []

    def ask(self, count: int) -> list[list[Job]]:
        """The jobs of the next `count` trials, one for each seed."""
        return [self._jobs(len(self._trials) + index) for index in range(count)]

    def _jobs(self, number: int) -> list[Job]:
        if self._study is None:
            raise ValueError("expected ranges to ask for values in, got none.")
        trial = self._study.ask({name: _distribution(name, each) for name, each in self.planned.ranges.items()})
        values = {name: _shortened(value) for name, value in trial.params.items()}
        self._open.append((trial, values))
        planned = self.planned
        recipe = with_values(planned.recipe, values, self._settings.overrides.get("distill"))
        cells = [
            Cell(planned.method, f"trial{number:03d}", planned.student, planned.label_fraction, "", seed)
            for seed in self._settings.seeds
        ]
        return [job_of(self._folder, PlannedCell(cell, placed(recipe, cell)), trial=True) for cell in cells]

    def tell(self, results: Sequence[Any]) -> None:
        """What came of the jobs of the oldest trial that was asked for."""
        trial, values = self._open.pop(0)
        scores = [result.top1 for result in results if isinstance(result, TrialResult) and result.top1 is not None]
        top1 = fmean(scores) if len(scores) == len(results) else None
        self._trials.append(Trial(len(self._trials), values, top1, sum(result.seconds for result in results)))
        if self._study is not None:
            import optuna

            failed = optuna.trial.TrialState.FAIL
            self._study.tell(trial, top1, state=failed if top1 is None else None)

    def found(self) -> Found:
        """The search with all its trials."""
        planned = self.planned
        return Found(planned.method, planned.student, planned.label_fraction, planned.ranges, tuple(self._trials))


def _sampled(planned: PlannedSearch, settings: Search) -> optuna.Study:
    """A study of Optuna: first the recipe as it is, where that lies within the ranges, then the common draws."""
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError("expected Optuna for `search`, got none: pip install 'hkd-edge[study]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    place = f"{planned.method} {planned.student} {planned.label_fraction:g} {settings.sampler_seed}"
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(n_startup_trials=_DRAWN, seed=zlib.crc32(place.encode())),
    )
    own = {name: value_at(planned.recipe, name) for name in planned.ranges}
    if all(_lies_in(value, planned.ranges[name]) for name, value in own.items()):
        study.enqueue_trial(dict(own))
    whole = {name for name in planned.ranges if _is_whole(name)}
    for values in first_draws(planned.ranges, whole, min(settings.trials, _DRAWN) - 1, settings.sampler_seed):
        study.enqueue_trial(values)
    return study


def _distribution(name: str, given: Range) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(given, list):
        return CategoricalDistribution(given)
    kind = IntDistribution if _is_whole(name) else FloatDistribution
    return kind(given["low"], given["high"], log=given.get("log", False))


def _is_whole(name: str) -> bool:
    return node_at(tuple(name.split("."))).get("type") == "integer"


def _lies_in(value: Value, given: Range) -> bool:
    if isinstance(given, list):
        return value in given
    return isinstance(value, int | float) and given["low"] <= value <= given["high"]


def _shortened(value: Value) -> Value:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _with_best(plan: Plan, found: Sequence[Found]) -> Plan:
    best = {(each.method, each.student, each.label_fraction): each.best for each in found}
    cells = []
    for planned in plan.cells:
        cell = planned.cell
        trial = best[cell.method, cell.student, cell.label_fraction]
        recipe = planned.recipe if trial is None else with_values(planned.recipe, trial.values)
        cells.append(replace(planned, recipe=recipe))
    return replace(plan, cells=tuple(cells))
