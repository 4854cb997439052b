"""The tables of a study, as texts in cells: page and Markdown show the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hkd_edge.evaluate.result import Interval
from hkd_edge.report.page import NOTHING
from hkd_edge.study.analysis import MEASURES, TOP1, Contrast, Line, Report, Setting
from hkd_edge.study.statistics import Spread

_SMALLEST_SHOWN_P = 0.001
_TITLES = {
    "top1": "top-1 %",
    "concept_mean": "concepts %",
    "calibration_error": "calibration error",
    "severity": "severity",
}
_ONE = "\N{DOUBLE DAGGER}"


@dataclass(frozen=True)
class Table:
    """One table: each row has as many cells as there are headers, the first of which names the row."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def methods_table(report: Report, setting: Setting) -> Table:
    """A row for the chosen variant of each method: validation, test, cost."""
    measures = [measure for measure in MEASURES if not (setting.unmet and measure == TOP1)]
    headers = (
        "method",
        f"validation {_TITLES[setting.measure]}",
        *(f"test {_TITLES[measure]}" for measure in measures),
        "student s",
        "teachers s",
        "teachers' validation %",
    )
    rows = tuple(_method_cells(line, measures) for line in report.chosen(setting))
    return Table(
        f"{_capital(setting.title)}: mean and standard deviation over {len(report.seeds)} seeds; "
        f"{_ONE} is best on validation images",
        headers,
        rows,
    )


def variants_table(report: Report) -> Table | None:
    """A row for each variant of a method that has several: what validation images chose from; None without any."""
    rows = tuple(
        (
            line.title,
            line.setting.title,
            shown_spread(line.validation.get(line.setting.measure)),
            "chosen" if line.chosen else NOTHING,
        )
        for line in report.lines
        if line.variant
    )
    headers = ("variant", "setting", "validation %", "choice")
    return Table("Variants, by validation images alone", headers, rows) if rows else None


def contrasts_table(report: Report, baseline: str) -> Table:
    """A row for each method and setting against `baseline`, on test images."""
    headers = ("method", "setting", "against", "points", "95 % interval", "p", "p after Holm", "p by signs")
    rows = tuple(_contrast_cells(each) for each in contrasts_with(report, baseline))
    return Table(f"Against {baseline}, seed by seed, on test images", headers, rows)


def contrasts_with(report: Report, baseline: str) -> list[Contrast]:
    """The contrasts with a baseline, of whatever variant."""
    return [each for each in report.contrasts if each.baseline.partition("/")[0] == baseline]


def shown_spread(value: Spread | None) -> str:
    """Mean and standard deviation.

    >>> shown_spread(Spread(93.456, 0.321, 5))
    '93.46 ± 0.32'
    """
    if value is None:
        return NOTHING
    return f"{value.mean:.2f}" if value.deviation is None else f"{value.mean:.2f} ± {value.deviation:.2f}"


def shown_interval(interval: Interval | None) -> str:
    """The two ends with their signs."""
    return NOTHING if interval is None else f"{interval.low:+.2f} to {interval.high:+.2f}"


def shown_p(p_value: float | None) -> str:
    """Three digits; very small ones are not told apart."""
    if p_value is None:
        return NOTHING
    return f"< {_SMALLEST_SHOWN_P}" if p_value < _SMALLEST_SHOWN_P else f"{p_value:.3f}"


def markdown(table: Table) -> Iterator[str]:
    """The lines of the table in Markdown, its caption before it."""
    yield f"{table.caption}:"
    yield ""
    for row in (table.headers, ("---",) * len(table.headers), *table.rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _method_cells(line: Line, measures: list[str]) -> tuple[str, ...]:
    return (
        f"{line.title} {_ONE}" if line.best else line.title,
        shown_spread(line.validation.get(line.setting.measure)),
        *(shown_spread(line.test.get(measure)) for measure in measures),
        f"{line.seconds.mean:.1f}",
        f"{line.teacher_seconds.mean:.1f}",
        _teachers(line.teachers),
    )


def _teachers(accuracies: Mapping[str, float]) -> str:
    return ", ".join(f"{role} {accuracy:.1f}" for role, accuracy in accuracies.items()) or NOTHING


def _contrast_cells(contrast: Contrast) -> tuple[str, ...]:
    paired = contrast.paired
    return (
        contrast.method,
        contrast.setting.title,
        contrast.baseline,
        f"{paired.mean:+.2f}",
        shown_interval(paired.interval),
        shown_p(paired.p_value),
        shown_p(contrast.corrected_p_value),
        shown_p(paired.sign_p_value),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
