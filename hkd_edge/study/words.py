"""A study in sentences: what was found, how, and as plainly what cannot be told."""

from __future__ import annotations

from collections.abc import Iterator

from hkd_edge.report.page import NOTHING
from hkd_edge.study.analysis import CONCEPTS, ROBUSTNESS, SIGNIFICANCE, TOP1, Contrast, Report
from hkd_edge.study.corruptions import IMAGES
from hkd_edge.study.tables import shown_interval, shown_p, shown_spread

_MEASURED = {TOP1: "of top-1", CONCEPTS: "of unmet classes' concepts", ROBUSTNESS: "of robustness"}


def found(contrast: Contrast) -> str:
    """One method against one baseline in one setting."""
    paired, setting = contrast.paired, contrast.setting
    what = _MEASURED[contrast.measure]
    return (
        f"{contrast.method} against {contrast.baseline}, {setting.title}: {paired.mean:+.2f} points {what} "
        f"({shown_interval(paired.interval)}), p {_p(contrast.corrected_p_value)} after Holm: {_verdict(contrast)}."
    )


def chosen(report: Report) -> Iterator[str]:
    """What validation images chose in each setting, and how it does on test images."""
    for setting in report.settings:
        best = next(line for line in report.chosen(setting) if line.best)
        on_validation, on_test = (shown_spread(each.get(setting.measure)) for each in (best.validation, best.test))
        yield (
            f"{setting.title}: best on validation images is {best.title} "
            f"({on_validation} %); on test images it has {on_test} %."
        )


def notes(report: Report) -> Iterator[str]:
    """How it was done and what it does not say."""
    seeds = len(report.seeds)
    yield (
        f"{seeds} seeds, each with its own initial weights, order, augmentation and choice of labelled images; the "
        f"split into {report.validation_images:,} validation images and the rest is the same for all. Validation "
        "images chose the variants and the best method; "
        f"the {report.test_images:,} test images chose nothing."
    )
    yield (
        "Methods are compared seed by seed: the interval of 95 % and p are of the paired t-test, corrected after Holm "
        f"over all comparisons by the same measure on this page; below {SIGNIFICANCE:g} it is significant. p by signs "
        f"assumes less, and cannot be below {2.0 ** (1 - seeds):.2g} with {seeds} seeds. The test images are the same "
        "for all seeds: what other test images would show is not in the intervals."
    )
    yield (
        "Every method takes as many steps of as many images. Under a label budget a step has fewer labels where a "
        "loss uses images without one. Validation images keep their labels at every budget. Seconds are those of the "
        "epochs, without loading and without the teachers' answers; a teacher's are told with each method that uses "
        "it, though it is trained once for all."
    )
    if report.searches:
        yield (
            "Searches: as many trials for each method, student and label budget that has something to search, by "
            "Optuna's TPE on validation images alone; the first trial is the recipe as it is, where that lies within "
            "the ranges. The best trial's values are those of the method in its setting; classes left out use those "
            "of all labels. The best of many trials is lucky on its own seeds: compare methods by the cells, not by "
            "the trials."
        )
    yield (
        "Severity: the mean share of axes on which a wrong answer does not keep the right concept. Unmet classes: each "
        "left out of the fine labels in turn, and judged on its own images; the concept teacher has seen them under "
        "their concepts alone."
    )
    yield (
        f"Robustness: the mean top-1 over five kinds of corruption at five strengths, on {IMAGES:,} images where there "
        "are more, the same ones for all. Calibration error, tempered: after temperature scaling by validation images; "
        "that of validation images is therefore the better for it."
    )


def machines(report: Report) -> Iterator[str]:
    """The machines that trained."""
    for machine in report.machines:
        yield ", ".join(f"{name} {value}" for name, value in machine.items())


def _verdict(contrast: Contrast) -> str:
    if contrast.corrected_p_value is None:
        return "with so few seeds, or no spread between them, nothing can be told"
    if not contrast.significant:
        alone = contrast.paired.p_value
        if alone is not None and alone < SIGNIFICANCE:
            return f"alone it would be significant (p {shown_p(alone)}), as one of several it is not"
        return "which is better cannot be told"
    return "better" if contrast.paired.mean > 0 else "worse"


def _p(value: float | None) -> str:
    return NOTHING if value is None else shown_p(value)
