"""From what was measured of an artefact to its row of `validation.json` and its arrays of `answers.npz`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.dataset import ImageSet
from hkd_edge.evaluate.accuracy import agreement_percent, measure_accuracy
from hkd_edge.evaluate.artefacts import Artefact, runtime_title
from hkd_edge.evaluate.reliability import calibration_error_percent
from hkd_edge.evaluate.result import Decided, Difference, File, Row
from hkd_edge.evaluate.selective import calibrate, measure_decisions
from hkd_edge.evaluate.subject import ReferenceAnswers, Subject
from hkd_edge.evaluate.verdict import Verdict
from hkd_edge.recipe.delivery import Selective
from hkd_edge_runtime.backends import Outputs
from hkd_edge_runtime.cold import ColdStart
from hkd_edge_runtime.confidence import Confidence
from hkd_edge_runtime.decision import temper
from hkd_edge_runtime.files import sha256_file
from hkd_edge_runtime.hierarchy import Hierarchy
from hkd_edge_runtime.turns import timing_of

# Enough to look through, few enough to be kept with the answers.
_MAX_MISTAKES = 48


@dataclass(frozen=True)
class Answers:
    """An artefact's answers to the test and validation images; to the test images in the precision that it chooses."""

    test: Outputs
    choice: Outputs | None
    default_precision: Outputs | None


@dataclass(frozen=True)
class Cost:
    """Seconds of each call by the number of images, and the cold start; empty where the target cannot run."""

    seconds: Mapping[int, Sequence[float]] = field(default_factory=dict)
    cold_start: ColdStart | None = None

    @property
    def p50_ms(self) -> float | None:
        """The median latency of one image; None if the target cannot run."""
        return timing_of(self.seconds[1], 1).p50_ms if self.seconds else None


def make_row(
    subject: Subject,
    artefact: Artefact,
    answers: Answers,
    differences: tuple[Difference, Difference | None],
    cost: Cost,
    verdict: Verdict,
    selective: Selective,
) -> Row:
    """The row of an artefact whose answers differ so from the reference on the test and on the validation images."""
    test, hierarchy, default = subject.test, subject.hierarchy, answers.default_precision
    confidence = _confidence(subject, artefact, answers, selective)
    logits = answers.test.logits
    return Row(
        target=artefact.target,
        precision=artefact.precision,
        runtime=runtime_title(artefact.target),
        files=tuple(_file(file, subject.root) for file in artefact.files),
        size_bytes=artefact.size_bytes,
        test=measure_accuracy(answers.test, test.labels, hierarchy),
        test_difference=differences[0],
        timings=tuple(timing_of(seconds, batch) for batch, seconds in cost.seconds.items()),
        accurate=verdict.accurate,
        shipped=verdict.shipped,
        reason=verdict.reason,
        choice=measure_accuracy(answers.choice, subject.choice.labels, hierarchy)
        if answers.choice and subject.choice
        else None,
        choice_difference=differences[1],
        default_precision_agreement=agreement_percent(default.logits, logits) if default else None,
        cold_start=cost.cold_start,
        confidence=confidence,
        decided=_decided(logits, test, hierarchy, confidence) if confidence else None,
        calibrated_error=calibration_error_percent(temper(logits, confidence.temperature), test.labels)
        if confidence
        else None,
    )


def _confidence(subject: Subject, artefact: Artefact, answers: Answers, selective: Selective) -> Confidence | None:
    if subject.choice and answers.choice:
        return calibrate(answers.choice.logits, subject.choice.labels, subject.hierarchy, selective)
    return subject.promises[artefact].confidence if artefact in subject.promises else None


def _decided(logits: NDArray[np.float32], test: ImageSet, hierarchy: Hierarchy, confidence: Confidence) -> Decided:
    return Decided(**asdict(measure_decisions(logits, test.labels, hierarchy, confidence)))


def _file(path: Path, root: Path) -> File:
    return File(path.relative_to(root).as_posix(), sha256_file(path), path.stat().st_size)


def make_arrays(
    subject: Subject,
    reference: ReferenceAnswers,
    rows: Sequence[Row],
    answers: Mapping[Artefact, Answers],
    costs: Mapping[Artefact, Cost],
) -> dict[str, NDArray[Any]]:
    """The arrays of `answers.npz`, as `hkd_edge.evaluate.result` describes them."""
    mistakes = _worst_mistakes(reference.test, subject.test.labels)
    arrays: dict[str, NDArray[Any]] = {
        "labels": subject.test.labels.astype(np.int64),
        "mistakes": mistakes,
        "mistake_images": subject.test.images[mistakes],
        "reference": reference.test.logits,
        **subject.teachers,
    }
    for row, each, cost in zip(rows, answers.values(), costs.values(), strict=True):
        arrays[row.array] = each.test.logits
        arrays |= {f"seconds-{row.array}-{batch}": np.asarray(seconds) for batch, seconds in cost.seconds.items()}
    return arrays


def _worst_mistakes(outputs: Outputs, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the wrong answers, those with the highest scores first."""
    wrong = np.flatnonzero(outputs.logits.argmax(axis=1) != labels)
    surest = np.argsort(-outputs.probabilities[wrong].max(axis=1), kind="stable")
    return wrong[surest][:_MAX_MISTAKES].astype(np.int64)
