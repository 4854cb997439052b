"""What a report computes from a validation's arrays; the page and `report.json` show the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hkd_edge.evaluate.reliability import Bin, reliability_bins
from hkd_edge.evaluate.result import Row
from hkd_edge.report.material import Material
from hkd_edge_runtime.decision import UNCALIBRATED, temper
from hkd_edge_runtime.decode import concept_answer
from hkd_edge_runtime.hierarchy import SILENT, Hierarchy

SHOWN_MISTAKES = 12


@dataclass(frozen=True)
class Confusion:
    """How often a class (row) was taken for a class (column), in the order of `classes`: by concept.

    Attributes:
        subject: whose answers they are.
        blocks: concepts of the first axis with the number of their classes, in that order; empty without axes.
    """

    subject: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    blocks: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Calibration:
    """Bins of an artefact's scores on the test images before and after its temperature."""

    artefact: str
    temperature: float
    before: tuple[Bin, ...]
    after: tuple[Bin, ...]


@dataclass(frozen=True)
class Answer:
    """What somebody says of an image, and whether it is right; `score` in percent."""

    who: str
    name: str
    score: float
    right: bool


@dataclass(frozen=True)
class Mistake:
    """A test image that the reference gets wrong; `position` is its place in `mistake_images`."""

    image: int
    position: int
    label: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Findings:
    """All of it; `front` holds the titles of `pareto_front`."""

    confusion: Confusion
    front: tuple[str, ...]
    calibrations: tuple[Calibration, ...]
    mistakes: tuple[Mistake, ...]


def compute_findings(material: Material) -> Findings:
    """What the arrays of `material` come to."""
    validation = material.validation
    shipped = [row for row in validation.rows if row.shipped]
    subject = shipped[0].title if shipped else validation.reference.title
    logits = material.arrays[shipped[0].array if shipped else "reference"]
    return Findings(
        confusion(logits, material.labels, validation.hierarchy, subject),
        tuple(row.title for row in pareto_front(validation.rows)),
        tuple(_calibration(row, material) for row in shipped or validation.rows[:1]),
        tuple(_mistake(material, place) for place in range(min(SHOWN_MISTAKES, len(material.arrays["mistakes"])))),
    )


def class_order(hierarchy: Hierarchy) -> list[int]:
    """The classes' indices by their concepts on one axis after the other; those that an axis is silent on come last."""

    def key(index: int) -> list[int]:
        concepts = [axis.class_to_concept[index] for axis in hierarchy.axes]
        silent = len(hierarchy.classes)
        return [*(silent if concept == SILENT else concept for concept in concepts), index]

    return sorted(range(len(hierarchy.classes)), key=key)


def runs_of(names: Sequence[str]) -> list[tuple[str, int]]:
    """Equal neighbours with their number.

    >>> runs_of(["a", "a", "b", "a"])
    [('a', 2), ('b', 1), ('a', 1)]
    """
    starts = [0, *(place for place in range(1, len(names)) if names[place] != names[place - 1]), len(names)]
    return [(names[start], end - start) for start, end in pairwise(starts) if end > start]


def concept_names(hierarchy: Hierarchy, axis: int, order: Sequence[int], silent: str) -> list[str]:
    """For each class of `order` its concept on the axis with this index, or `silent`."""
    chosen = hierarchy.axes[axis]
    concepts = [chosen.class_to_concept[index] for index in order]
    return [silent if concept == SILENT else chosen.concepts[concept] for concept in concepts]


def confusion(logits: NDArray[np.float32], labels: NDArray[np.int64], hierarchy: Hierarchy, subject: str) -> Confusion:
    """The confusion matrix of logits (N, C) and labels (N,), ordered by concept."""
    order, classes = class_order(hierarchy), len(hierarchy.classes)
    counts = np.bincount(labels * classes + logits.argmax(axis=1), minlength=classes**2).reshape(classes, classes)
    blocks = runs_of(concept_names(hierarchy, 0, order, "no concept")) if hierarchy.axes else []
    return Confusion(
        subject,
        tuple(hierarchy.classes[index] for index in order),
        tuple(tuple(row) for row in counts[np.ix_(order, order)].tolist()),
        tuple(blocks),
    )


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """The timed artefacts than which none is at least as good in accuracy, p50 latency and size, and better in one."""
    timed = [row for row in rows if row.latency is not None]
    return [row for row in timed if not any(_beats(_merits(other), _merits(row)) for other in timed)]


def _merits(row: Row) -> tuple[float, float, float]:
    latency = row.latency.p50_ms if row.latency else float("inf")
    return row.test.top1, -latency, -float(row.size_bytes)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))


def _calibration(row: Row, material: Material) -> Calibration:
    logits, labels = material.arrays[row.array], material.labels
    before, after = (
        reliability_bins(temper(logits, temperature), labels) for temperature in (UNCALIBRATED, _temperature(row))
    )
    return Calibration(row.title, _temperature(row), before, after)


def _temperature(row: Row) -> float:
    return row.confidence.temperature if row.confidence else UNCALIBRATED


def _mistake(material: Material, position: int) -> Mistake:
    arrays, validation = material.arrays, material.validation
    image = int(arrays["mistakes"][position])
    label = int(material.labels[image])

    def class_said(who: str, array: str, temperature: float = UNCALIBRATED) -> Answer:
        probabilities = temper(arrays[array][image], temperature)
        best = int(probabilities.argmax())
        return Answer(who, validation.classes[best], 100 * float(probabilities[best]), best == label)

    answers = [
        *_concepts_said(
            validation.hierarchy, label, arrays["concept_teacher"][image] if "concept_teacher" in arrays else None
        ),
        *([class_said("task teacher", "task_teacher")] if "task_teacher" in arrays else ()),
        class_said(validation.reference.title, "reference"),
        *(class_said(row.title, row.array, _temperature(row)) for row in validation.rows if row.shipped),
    ]
    return Mistake(image, position, validation.classes[label], tuple(answers))


def _concepts_said(hierarchy: Hierarchy, label: int, masses: NDArray[np.float32] | None) -> list[Answer]:
    """The concept teacher's answer on each axis, by its masses (K,); on some an image may have no concept."""
    if masses is None:
        return []
    answers = []
    for axis, columns in zip(hierarchy.axes, hierarchy.slices(), strict=True):
        said = concept_answer(axis.concepts, masses[columns].tolist())
        place = axis.class_to_concept[label]
        right = said.concept == (None if place == SILENT else axis.concepts[place])
        answers.append(Answer(f"concept teacher, {axis.name}", said.concept or "no concept", 100 * said.score, right))
    return answers


def counted(counts: Mapping[str, int]) -> str:
    """Numbers by name in words.

    >>> counted({"train": 54000, "test": 10000})
    '54,000 train, 10,000 test'
    """
    return ", ".join(f"{number:,} {name}" for name, number in counts.items())
