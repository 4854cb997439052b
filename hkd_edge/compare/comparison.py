"""What a comparison finds, as data: the runs side by side, and each against the baseline on the same test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hkd_edge.compare.differences import Differing, differing, flattened
from hkd_edge.compare.runs import ComparedRun
from hkd_edge.evaluate.result import Interval, Row
from hkd_edge.evaluate.statistics import (
    CONFIDENCE_LEVEL,
    McNemar,
    PairedDifference,
    Pairs,
    holm,
    mcnemar,
    paired_difference,
    pairs_of,
)
from hkd_edge_runtime import __version__
from hkd_edge_runtime.strict import encode

FORMAT = "hkd-edge-comparison"
FORMAT_VERSION = 1
SIGNIFICANCE_LEVEL = 0.05


@dataclass(frozen=True)
class ArtefactFacts:
    """An artefact of a run: what its validation tells, on the test images and for one image at a time.

    Attributes:
        top1_drop: points lost against the run's own student; negative if won.
        agreement: percent of images with the same answer as that student.
        p50_ms: likewise `p95_ms`; None if the target could not run there.
    """

    title: str
    top1: float
    top1_interval: Interval
    top1_drop: float
    agreement: float
    size_bytes: int
    shipped: bool
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True)
class RunFacts:
    """A run: what its directory tells of it.

    Attributes:
        name: of its recipe.
        verdict: of its validation.
        top1: of the torch student, in percent of the test images.
        stage_seconds: how long each stage took when it last ran.
    """

    title: str
    folder: str
    name: str
    verdict: str
    top1: float
    top1_interval: Interval
    artefacts: tuple[ArtefactFacts, ...]
    stage_seconds: Mapping[str, float]
    parameters: int | None = None


@dataclass(frozen=True)
class Paired:
    """One subject of a run against the same of the baseline, on the same test images.

    Attributes:
        pairs: the baseline is the first, the run the second.
        difference: the run's top-1 less the baseline's.
        corrected_p_value: McNemar's, after Holm over all of the comparison.
        classes: the pairs of each class; empty where the difference is not significant.
    """

    run: str
    subject: str
    pairs: Pairs
    difference: PairedDifference
    test: McNemar
    corrected_p_value: float
    significant: bool
    classes: Mapping[str, Pairs]


@dataclass(frozen=True)
class Comparison:
    """A whole comparison.

    Attributes:
        baseline: the title of the run that the others are held against.
        test_images: where they are from, in words, how many they are, and their SHA-256.
        recipe: what differs between the resolved recipes; `machine` likewise for where latencies were measured.
        paired: by run, its student first.
        not_paired: subjects that one of a run and the baseline lacks, in words.
    """

    baseline: str
    test_images: str
    images: int
    fingerprint: str
    runs: tuple[RunFacts, ...]
    recipe: tuple[Differing, ...]
    machine: tuple[Differing, ...]
    paired: tuple[Paired, ...]
    not_paired: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of the file that `--json` names."""
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "created_by": f"hkd-edge {__version__}"}
        method = {
            "test": "McNemar, two-sided",
            "correction": "Holm",
            "interval": "Tango's score interval",
            "confidence_level": CONFIDENCE_LEVEL,
            "significance_level": SIGNIFICANCE_LEVEL,
        }
        return head | {"method": method} | dict(encode(self))


def compare_runs(runs: Sequence[ComparedRun], baseline: int = 0) -> Comparison:
    """The runs side by side, each but the one at index `baseline` against that one."""
    base = runs[baseline]
    others = [run for run in runs if run is not base]
    return Comparison(
        baseline=base.title,
        test_images=base.validation.images,
        images=len(base.labels),
        fingerprint=base.validation.fingerprint,
        runs=tuple(_facts(run) for run in runs),
        recipe=differing([run.recipe for run in runs]),
        machine=differing([flattened(encode(run.validation.machine)) for run in runs]),
        paired=_all_paired(base, others),
        not_paired=tuple(text for run in others for text in _not_paired(base, run)),
    )


def _all_paired(base: ComparedRun, others: Sequence[ComparedRun]) -> tuple[Paired, ...]:
    """Every subject that a run and the baseline have, the p-values corrected over all of them."""
    both = [(run, subject) for run in others for subject in base.right if subject in run.right]
    pairs = [pairs_of(base.right[subject], run.right[subject]) for run, subject in both]
    tests = [mcnemar(each) for each in pairs]
    corrected = holm([test.p_value for test in tests])
    return tuple(
        Paired(
            run=run.title,
            subject=subject,
            pairs=each,
            difference=paired_difference(each),
            test=test,
            corrected_p_value=p_value,
            significant=p_value < SIGNIFICANCE_LEVEL,
            classes=_class_pairs(base, run, subject) if p_value < SIGNIFICANCE_LEVEL else {},
        )
        for (run, subject), each, test, p_value in zip(both, pairs, tests, corrected, strict=True)
    )


def _class_pairs(base: ComparedRun, run: ComparedRun, subject: str) -> dict[str, Pairs]:
    """By class; classes without test images are left out."""
    first, second = base.right[subject], run.right[subject]
    chosen = {name: base.labels == index for index, name in enumerate(base.validation.classes)}
    return {name: pairs_of(first[mask], second[mask]) for name, mask in chosen.items() if mask.any()}


def _not_paired(base: ComparedRun, run: ComparedRun) -> list[str]:
    """The artefacts that only one of the two has."""
    here, there = dict.fromkeys(base.right), dict.fromkeys(run.right)
    return [
        *(f"{subject}: {base.title} has it, {run.title} has not" for subject in here if subject not in there),
        *(f"{subject}: {run.title} has it, {base.title} has not" for subject in there if subject not in here),
    ]


def _facts(run: ComparedRun) -> RunFacts:
    validation, test = run.validation, run.validation.reference.test
    return RunFacts(
        title=run.title,
        folder=str(run.folder),
        name=validation.name,
        verdict=validation.verdict,
        top1=test.top1,
        top1_interval=test.top1_interval,
        artefacts=tuple(map(_artefact_facts, validation.rows)),
        stage_seconds=run.stage_seconds,
        parameters=validation.parameters,
    )


def _artefact_facts(row: Row) -> ArtefactFacts:
    latency = row.latency
    return ArtefactFacts(
        title=row.title,
        top1=row.test.top1,
        top1_interval=row.test.top1_interval,
        top1_drop=row.test_difference.top1_drop,
        agreement=row.test_difference.agreement,
        size_bytes=row.size_bytes,
        shipped=row.shipped,
        p50_ms=None if latency is None else latency.p50_ms,
        p95_ms=None if latency is None else latency.p95_ms,
    )
