"""What the cells of a study tell: means over seeds, the variants that validation images choose, paired differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from statistics import fmean
from typing import Any

from hkd_edge.evaluate.statistics import holm
from hkd_edge.study.cells import CellResult, Measures, labels_title
from hkd_edge.study.schema import Study
from hkd_edge.study.search import Found
from hkd_edge.study.statistics import PairedMeans, Spread, paired_means, spread

FORMAT = "hkd-edge-study"
FORMAT_VERSION = 1
SIGNIFICANCE = 0.05
SCRATCH = "scratch"  # whose accuracy with all labels the others are to reach with fewer
TOP1, CONCEPTS, ROBUSTNESS = "top1", "concept_mean", "robustness"
MEASURES = (TOP1, CONCEPTS, "calibration_error", "tempered_calibration_error", "severity", ROBUSTNESS)


@dataclass(frozen=True)
class Setting:
    """Where methods are compared: one student, one label budget, all classes or some left out in turn."""

    student: str
    label_fraction: float
    unmet: bool

    @property
    def measure(self) -> str:
        """What they are compared by: of a class without labels only the concept can be known."""
        return CONCEPTS if self.unmet else TOP1

    @property
    def compared(self) -> tuple[str, ...]:
        """All measures that baselines are held against."""
        return (CONCEPTS,) if self.unmet else (TOP1, ROBUSTNESS)

    @property
    def title(self) -> str:
        """The setting in words."""
        return f"student {self.student}, " + ("unmet classes" if self.unmet else labels_title(self.label_fraction))


@dataclass(frozen=True)
class Line:
    """A method's variant in one setting, over the seeds.

    `validation` and `test` are spreads by measure, without those that were None. `values` are the measures on test
    images by seed, `corruptions` the mean top-1 on these by kind, at each strength. Where classes are left out in turn,
    a seed's measure is the mean over the classes that have it, and `unmet` has each class's concepts on test images.
    `chosen` is the variant that validation images chose for its method, `best` the method they chose in the setting.
    """

    setting: Setting
    method: str
    variant: str
    parameters: int
    validation: Mapping[str, Spread]
    test: Mapping[str, Spread]
    values: Mapping[str, Mapping[int, float]]
    corruptions: Mapping[str, tuple[float, ...]]
    unmet: Mapping[str, Spread]
    curve: tuple[float, ...]
    seconds: Spread
    teacher_seconds: Spread
    teachers: Mapping[str, float]
    chosen: bool = False
    best: bool = False

    @property
    def title(self) -> str:
        """The method with its variant."""
        return f"{self.method}/{self.variant}" if self.variant else self.method


@dataclass(frozen=True)
class Contrast:
    """A method against a baseline on test images; the p-value is corrected over all contrasts of the same measure."""

    setting: Setting
    measure: str
    method: str
    baseline: str
    paired: PairedMeans
    corrected_p_value: float | None = None

    @property
    def significant(self) -> bool:
        """Whether chance alone makes such a difference in fewer than 1 of 20 studies without any."""
        return self.corrected_p_value is not None and self.corrected_p_value < SIGNIFICANCE


@dataclass(frozen=True)
class Efficiency:
    """The labels that a method needs for what `scratch` reaches with all of them, by means on test images.

    `labels` is a share of the training images: where the line through the budgets' means, over the logarithm of the
    labels, first reaches `wanted` percent. `at_most`: the smallest budget reaches it already, and fewer might do. None:
    no budget reaches it.
    """

    student: str
    method: str
    wanted: float
    labels: float | None
    at_most: bool


@dataclass(frozen=True)
class Report:
    """All that is shown of a study."""

    name: str
    base: str
    seeds: tuple[int, ...]
    test_images: int
    validation_images: int
    machines: tuple[Mapping[str, Any], ...]
    lines: tuple[Line, ...]
    contrasts: tuple[Contrast, ...]
    searches: tuple[Found, ...]
    efficiencies: tuple[Efficiency, ...]
    cells: tuple[CellResult, ...] = field(repr=False)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings in the study's order."""
        return tuple(dict.fromkeys(line.setting for line in self.lines))

    def chosen(self, setting: Setting) -> list[Line]:
        """The lines of a setting that speak for their methods."""
        return [line for line in self.lines if line.setting == setting and line.chosen]

    def to_json(self) -> dict[str, Any]:
        """As JSON, with the results of all cells."""
        content = asdict(replace(self, cells=()))
        content["cells"] = [cell.to_json() for cell in self.cells]
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **content}


def analyse(study: Study, results: Sequence[CellResult], searches: Sequence[Found] = ()) -> Report:
    """The report of a study all of whose cells, and searches, are done."""
    lines = tuple(_with_choices([_line(*each) for each in _grouped(results).items()]))
    seen = next((result for result in results if not result.cell.unmet), results[0])
    return Report(
        name=study.name,
        base=study.base,
        seeds=study.seeds,
        test_images=seen.test.images,
        validation_images=seen.validation.images,
        machines=tuple(_distinct(result.machine for result in results)),
        lines=lines,
        contrasts=_corrected([each for baseline in study.baselines for each in _contrasts(lines, baseline)]),
        searches=tuple(searches),
        efficiencies=tuple(_efficiencies(lines)),
        cells=tuple(results),
    )


_Key = tuple[Setting, str, str]


def _grouped(results: Iterable[CellResult]) -> dict[_Key, list[CellResult]]:
    groups: dict[_Key, list[CellResult]] = {}
    for result in results:
        cell = result.cell
        setting = Setting(cell.student, cell.label_fraction, bool(cell.unmet))
        groups.setdefault((setting, cell.method, cell.variant), []).append(result)
    return groups


def _line(key: _Key, results: list[CellResult]) -> Line:
    setting, method, variant = key
    return Line(
        setting,
        method,
        variant,
        parameters=results[0].parameters,
        validation=_spreads([(each.cell.seed, each.validation) for each in results]),
        test=_spreads([(each.cell.seed, each.test) for each in results]),
        values=_values([(each.cell.seed, each.test) for each in results]),
        corruptions=_mean_corruptions([each.test for each in results]),
        unmet=_by_class([each for each in results if each.cell.unmet]),
        curve=tuple(fmean(epoch) for epoch in zip(*(each.curve for each in results), strict=True)),
        seconds=spread([each.seconds for each in results]),
        teacher_seconds=spread([sum(facts.seconds for facts in each.teachers.values()) for each in results]),
        teachers=_teacher_accuracies(results),
    )


def _spreads(measured: Sequence[tuple[int, Measures]]) -> dict[str, Spread]:
    return {measure: spread(list(values.values())) for measure, values in _values(measured).items()}


def _values(measured: Sequence[tuple[int, Measures]]) -> dict[str, dict[int, float]]:
    by_seed = {measure: _by_seed(measured, measure) for measure in MEASURES}
    return {measure: values for measure, values in by_seed.items() if values}


def _by_class(results: Iterable[CellResult]) -> dict[str, Spread]:
    found: dict[str, list[float]] = {}
    for result in results:
        if result.test.concept_mean is not None:  # the hierarchy speaks of it
            found.setdefault(result.cell.unmet, []).append(result.test.concept_mean)
    return {name: spread(values) for name, values in found.items()}


def _mean_corruptions(measured: Sequence[Measures]) -> dict[str, tuple[float, ...]]:
    kinds = measured[0].corruptions
    return {kind: tuple(map(fmean, zip(*(each.corruptions[kind] for each in measured), strict=True))) for kind in kinds}


def _by_seed(measured: Sequence[tuple[int, Measures]], measure: str) -> dict[int, float]:
    """A measure of each seed; the mean over a seed's cells, of which there are several where classes are left out."""
    found: dict[int, list[float]] = {}
    for seed, measures in measured:
        value = getattr(measures, measure)
        if value is not None:
            found.setdefault(seed, []).append(value)
    return {seed: fmean(values) for seed, values in found.items()}


def _teacher_accuracies(results: Sequence[CellResult]) -> dict[str, float]:
    """Mean accuracy on validation images of each teacher that the losses used, over axes and cells."""
    found: dict[str, list[float]] = {}
    for result in results:
        for role, facts in result.teachers.items():
            if facts.accuracies:  # a teacher that only embeds has none
                found.setdefault(role, []).append(fmean(facts.accuracies.values()))
    return {role: fmean(values) for role, values in found.items()}


def _with_choices(lines: list[Line]) -> Iterator[Line]:
    """Marks what the validation images choose: a variant for each method, and the best method of each setting."""
    variants: dict[tuple[Setting, str], Line] = {}
    methods: dict[Setting, Line] = {}
    for line in lines:
        variants[line.setting, line.method] = _better(variants.get((line.setting, line.method)), line)
        methods[line.setting] = _better(methods.get(line.setting), line)
    for line in lines:
        yield replace(line, chosen=line is variants[line.setting, line.method], best=line is methods[line.setting])


def _better(first: Line | None, second: Line) -> Line:
    """The one with the higher mean on validation images; of equals the first."""
    if first is None:
        return second
    ranks = [line.validation.get(line.setting.measure) for line in (first, second)]
    if ranks[1] is None or (ranks[0] is not None and ranks[0].mean >= ranks[1].mean):
        return first
    return second


def _efficiencies(lines: Sequence[Line]) -> Iterator[Efficiency]:
    """Of each student with several budgets, one of them all labels, and a method `scratch` at that."""
    means: dict[str, dict[str, dict[float, float]]] = {}
    for line in lines:
        if line.chosen and not line.setting.unmet:
            of_method = means.setdefault(line.setting.student, {}).setdefault(line.method, {})
            of_method[line.setting.label_fraction] = line.test[TOP1].mean
    for student, methods in means.items():
        wanted = methods.get(SCRATCH, {}).get(1.0)
        if wanted is None or len(methods[SCRATCH]) < 2:
            continue
        for method, by_budget in methods.items():
            labels = labels_needed(by_budget, wanted)
            yield Efficiency(student, method, wanted, labels, labels == min(by_budget))


def labels_needed(by_budget: Mapping[float, float], wanted: float) -> float | None:
    """The smallest share of labels with which `wanted` is reached, interpolated in the logarithm; None if with none.

    >>> labels_needed({0.01: 80.0, 0.1: 90.0, 1.0: 92.0}, 85.0)
    0.0316
    >>> labels_needed({0.01: 80.0, 1.0: 92.0}, 93.0) is None, labels_needed({0.01: 80.0, 1.0: 92.0}, 70.0)
    (True, 0.01)
    """
    budgets = sorted(by_budget)
    if by_budget[budgets[0]] >= wanted:
        return budgets[0]
    for fewer, more in pairwise(budgets):
        below, above = by_budget[fewer], by_budget[more]
        if above >= wanted:
            way = (wanted - below) / (above - below)
            return float(round(fewer * (more / fewer) ** way, 4))
    return None


def _contrasts(lines: Sequence[Line], baseline: str) -> Iterator[Contrast]:
    chosen = [line for line in lines if line.chosen]
    of_baseline = {line.setting: line for line in chosen if line.method == baseline}
    for line in chosen:
        base = of_baseline[line.setting]
        for measure in line.setting.compared if line is not base else ():
            ours, theirs = (each.values.get(measure, {}) for each in (line, base))
            seeds = [seed for seed in theirs if seed in ours]
            if seeds:
                paired = paired_means([theirs[seed] for seed in seeds], [ours[seed] for seed in seeds])
                yield Contrast(line.setting, measure, line.title, base.title, paired)


def _corrected(contrasts: list[Contrast]) -> tuple[Contrast, ...]:
    """With p-values after Holm's correction, over all contrasts by the same measure that have one.

    Two methods that are each other's baseline are one comparison, and count once.
    """
    corrected: dict[int, float] = {}
    for measure in (TOP1, CONCEPTS, ROBUSTNESS):
        family: dict[Any, list[int]] = {}
        for index, each in enumerate(contrasts):
            if each.measure == measure and each.paired.p_value is not None:
                family.setdefault((each.setting, frozenset((each.method, each.baseline))), []).append(index)
        p_values = holm([contrasts[indices[0]].paired.p_value or 0.0 for indices in family.values()])
        for indices, p_value in zip(family.values(), p_values, strict=True):
            corrected.update(dict.fromkeys(indices, p_value))
    return tuple(replace(each, corrected_p_value=corrected.get(index)) for index, each in enumerate(contrasts))


def _distinct(machines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for machine in machines:
        if machine not in found:
            found.append(machine)
    return found
