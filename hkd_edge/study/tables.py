"""The tables of a study, as texts in cells: page and Markdown show the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean, median

from hkd_edge.evaluate.result import Interval
from hkd_edge.report.page import NOTHING
from hkd_edge.study.analysis import CONCEPTS, MEASURES, ROBUSTNESS, TOP1, Contrast, Efficiency, Line, Report, Setting
from hkd_edge.study.cells import labels_title
from hkd_edge.study.corruptions import IMAGES
from hkd_edge.study.ranges import Value, shown_range
from hkd_edge.study.search import Found
from hkd_edge.study.statistics import Spread

_SMALLEST_SHOWN_P = 0.001
_TITLES = {
    "top1": "top-1 %",
    "concept_mean": "concepts %",
    "calibration_error": "calibration error",
    "tempered_calibration_error": "calibration error, tempered",
    "severity": "severity",
    "robustness": "robustness %",
}
_CONTRAST_HEADERS = ("method", "setting", "against", "points", "95 % interval", "p", "p after Holm", "p by signs")
_ONE = "\N{DOUBLE DAGGER}"


@dataclass(frozen=True)
class Table:
    """One table: each row has as many cells as there are headers, the first of which names the row."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def methods_table(report: Report, setting: Setting) -> Table:
    """A row for the chosen variant of each method: validation, test, cost."""
    measures = [measure for measure in MEASURES if not (setting.unmet and measure in (TOP1, ROBUSTNESS))]
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


def corruptions_table(report: Report, setting: Setting) -> Table | None:
    """A row for the chosen variant of each method: top-1 by kind of corruption; None of classes without labels."""
    lines = [line for line in report.chosen(setting) if line.corruptions]
    if not lines:
        return None
    kinds = tuple(lines[0].corruptions)
    rows = tuple(
        (
            line.title,
            *(f"{fmean(line.corruptions[kind]):.2f}" for kind in kinds),
            shown_spread(line.test.get(ROBUSTNESS)),
            shown_spread(line.test.get(TOP1)),
        )
        for line in lines
    )
    images = min(IMAGES, report.test_images)
    return Table(
        f"{_capital(setting.title)}: top-1 % on {images:,} test images made worse, mean over five strengths",
        ("method", *(kind.replace("_", " ") for kind in kinds), _TITLES[ROBUSTNESS], "as they are, all test images"),
        rows,
    )


def unmet_table(report: Report, setting: Setting) -> Table | None:
    """A row for the chosen variant of each method: concepts of each class that was left out; None if none was."""
    lines = [line for line in report.chosen(setting) if line.unmet]
    if not lines:
        return None
    classes = tuple(lines[0].unmet)
    rows = tuple((line.title, *(shown_spread(line.unmet.get(name)) for name in classes)) for line in lines)
    caption = f"{_capital(setting.title)}, each left out of the labels in turn: test {_TITLES[CONCEPTS]} of its images"
    return Table(caption, ("method", *classes), rows)


def robustness_table(report: Report, baseline: str) -> Table | None:
    """A row for each method and setting against `baseline` by robustness; None where nothing can be compared."""
    contrasts = contrasts_with(report, baseline, (ROBUSTNESS,))
    caption = f"Robustness against {baseline}, seed by seed, on test images made worse"
    return Table(caption, _CONTRAST_HEADERS, tuple(map(_contrast_cells, contrasts))) if contrasts else None


def contrasts_table(report: Report, baseline: str) -> Table:
    """A row for each method and setting against `baseline`, on test images."""
    rows = tuple(map(_contrast_cells, contrasts_with(report, baseline)))
    return Table(f"Against {baseline}, seed by seed, on test images", _CONTRAST_HEADERS, rows)


def contrasts_with(report: Report, baseline: str, measures: tuple[str, ...] = (TOP1, CONCEPTS)) -> list[Contrast]:
    """The contrasts with a baseline, of whatever variant, by some measures."""
    of_baseline = (each for each in report.contrasts if each.baseline.partition("/")[0] == baseline)
    return [each for each in of_baseline if each.measure in measures]


def efficiency_table(report: Report) -> Table | None:
    """A row for each method and student: labels needed for what scratch reaches with all; None if unknown."""
    rows = tuple(
        (each.method, each.student, f"{each.wanted:.2f}", _labels_needed(each)) for each in report.efficiencies
    )
    caption = (
        "Labels needed for scratch's test top-1 with all labels, by means, interpolated in the logarithm of labels"
    )
    return Table(caption, ("method", "student", "wanted %", "labels, % of the training images"), rows) if rows else None


def _labels_needed(efficiency: Efficiency) -> str:
    if efficiency.labels is None:
        return "not reached"
    return f"{'at most ' if efficiency.at_most else ''}{100 * efficiency.labels:.3g}"


def search_table(report: Report) -> Table | None:
    """A row for each search: what was looked for and found; None without any."""
    rows = tuple(
        (
            each.method,
            f"{each.student}, {labels_title(each.label_fraction)}",
            "; ".join(f"{_short(name)} {shown_range(given)}" for name, given in each.ranges.items()) or NOTHING,
            *_search_cells(each),
        )
        for each in report.searches
    )
    headers = ("method", "setting", "searched", "trials", "failed", "best values", "best %", "median %", "worst %", "s")
    return Table("Searches, top-1 on validation images", headers, rows) if rows else None


def trials_table(report: Report) -> Table | None:
    """A row for each trial of each search; None without any."""
    rows = tuple(
        (
            f"{each.method} {trial.number}",
            f"{each.student}, {labels_title(each.label_fraction)}",
            _values(trial.values),
            NOTHING if trial.top1 is None else f"{trial.top1:.2f}",
            "best" if trial is each.best else NOTHING,
        )
        for each in report.searches
        for trial in each.trials
    )
    return Table("All trials", ("trial", "setting", "values", "validation %", "choice"), rows) if rows else None


def _search_cells(found: Found) -> tuple[str, ...]:
    scores = sorted(trial.top1 for trial in found.trials if trial.top1 is not None)
    failed = len(found.trials) - len(scores)
    counts = (str(len(found.trials)), str(failed), NOTHING if found.best is None else _values(found.best.values))
    shown = (f"{score:.2f}" for score in (scores[-1], median(scores), scores[0])) if scores else (NOTHING,) * 3
    return (*counts, *shown, f"{sum(trial.seconds for trial in found.trials):.1f}")


def _values(values: Mapping[str, Value]) -> str:
    return "; ".join(f"{_short(name)} {value}" for name, value in values.items())


def _short(name: str) -> str:
    return name.removeprefix("distill.")


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
