"""The tables of a comparison, as texts in cells: the terminal and the page show the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hkd_edge.compare.comparison import ArtefactFacts, Comparison, Paired, RunFacts
from hkd_edge.compare.differences import Differing
from hkd_edge.compare.words import shown_interval, shown_p_value, shown_points
from hkd_edge.evaluate.result import Interval
from hkd_edge.report.material import STAGES as STAGES_BEFORE_REPORT
from hkd_edge.report.page import NOTHING

_KILOBYTE = 1000
# The stages in the order of the pipeline; those of a run that is older or newer than this list come after them.
STAGES = (*STAGES_BEFORE_REPORT, "report")


@dataclass(frozen=True)
class Table:
    """One table: each row has as many cells as there are headers, the first of which names the row."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def runs_table(comparison: Comparison) -> Table:
    """A row for each run: its student, and how long its stages took."""
    stages = _stages(comparison.runs)
    headers = ("run", "validation", "student top-1 %", "95 % interval", "parameters", *(f"{name} s" for name in stages))
    rows = (
        (
            run.title,
            run.verdict,
            f"{run.top1:.2f}",
            _range(run.top1_interval),
            NOTHING if run.parameters is None else f"{run.parameters:,}",
            *(_seconds(run.stage_seconds.get(name)) for name in stages),
        )
        for run in comparison.runs
    )
    return Table("Runs: their students, and the seconds that each stage took when it last ran", headers, tuple(rows))


def artefacts_table(comparison: Comparison) -> Table:
    """A row for each artefact of each run, the same artefact's below each other."""
    titles = dict.fromkeys(artefact.title for run in comparison.runs for artefact in run.artefacts)
    headers = (
        *("artefact", "run", "top-1 %", "95 % interval", "drop", "agrees %", "p50 ms", "p95 ms", "kB", "shipped"),
    )
    rows = (
        _artefact_cells(artefact, run)
        for title in titles
        for run in comparison.runs
        for artefact in run.artefacts
        if artefact.title == title
    )
    return Table("Artefacts: drop and agreement against the student of the same run", headers, tuple(rows))


def paired_table(comparison: Comparison) -> Table:
    """A row for each comparison with the baseline."""
    base = comparison.baseline
    headers = (
        "run",
        "artefact",
        f"only {base}",
        "only the run",
        "points",
        "95 % interval",
        "p",
        "p after Holm",
        "test",
    )
    return Table(
        f"Against {base}: images that only one of the two gets right, and the difference in top-1",
        headers,
        tuple(map(_paired_cells, comparison.paired)),
    )


def class_table(comparison: Comparison, paired: Paired) -> Table:
    """A row for each class of a significant difference."""
    headers = ("class", "images", f"only {comparison.baseline}", f"only {paired.run}", "points")
    rows = (
        (
            name,
            f"{pairs.images:,}",
            f"{pairs.only_first:,}",
            f"{pairs.only_second:,}",
            shown_points(100 * (pairs.only_second - pairs.only_first) / pairs.images),
        )
        for name, pairs in paired.classes.items()
    )
    return Table(f"{paired.run} against {comparison.baseline}, {paired.subject}, by class", headers, tuple(rows))


def differing_table(caption: str, keys: Sequence[Differing], runs: Sequence[RunFacts]) -> Table:
    """A row for each key that differs, a column for each run."""
    rows = ((each.key, *(NOTHING if value is None else value for value in each.values)) for each in keys)
    return Table(caption, ("key", *(run.title for run in runs)), tuple(rows))


def _artefact_cells(artefact: ArtefactFacts, run: RunFacts) -> tuple[str, ...]:
    return (
        artefact.title,
        run.title,
        f"{artefact.top1:.2f}",
        _range(artefact.top1_interval),
        shown_points(artefact.top1_drop),
        f"{artefact.agreement:.2f}",
        _milliseconds(artefact.p50_ms),
        _milliseconds(artefact.p95_ms),
        f"{artefact.size_bytes / _KILOBYTE:,.0f}",
        "yes" if artefact.shipped else "no",
    )


def _paired_cells(paired: Paired) -> tuple[str, ...]:
    return (
        paired.run,
        paired.subject,
        f"{paired.pairs.only_first:,}",
        f"{paired.pairs.only_second:,}",
        shown_points(paired.difference.points),
        shown_interval(paired.difference.interval),
        shown_p_value(paired.test.p_value),
        shown_p_value(paired.corrected_p_value),
        paired.test.method,
    )


def _stages(runs: Sequence[RunFacts]) -> list[str]:
    known = dict.fromkeys(name for run in runs for name in run.stage_seconds)
    return [*(name for name in STAGES if name in known), *(name for name in known if name not in STAGES)]


def _range(interval: Interval) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}"


def _milliseconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.1f}"
