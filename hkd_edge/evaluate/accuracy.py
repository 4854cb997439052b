"""How right answers are, and how far they are from those of a reference. Pure functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hkd_edge.evaluate.reliability import calibration_error_percent
from hkd_edge.evaluate.result import Accuracy, Difference
from hkd_edge.evaluate.statistics import wilson_interval
from hkd_edge_runtime.backends import Outputs
from hkd_edge_runtime.decision import temper
from hkd_edge_runtime.evaluation import concept_accuracy_percent, top1_percent
from hkd_edge_runtime.hierarchy import Hierarchy


def outputs_from_logits(logits: NDArray[np.float32], hierarchy: Hierarchy) -> Outputs:
    """What an exported graph computes from logits (N, C): softmax, and its mass on each concept."""
    probabilities = temper(logits, 1.0).astype(np.float32)
    return Outputs(logits, probabilities, probabilities @ hierarchy.membership())


def measure_accuracy(outputs: Outputs, labels: NDArray[np.int64], hierarchy: Hierarchy) -> Accuracy:
    """The accuracy of answers to N images with labels (N,), indices into the hierarchy's classes."""
    right = outputs.logits.argmax(axis=1) == labels
    concepts = concept_accuracy_percent(outputs.concept_probabilities, labels, hierarchy)
    return Accuracy(
        images=len(labels),
        top1=top1_percent(outputs.logits, labels),
        top1_interval=wilson_interval(int(right.sum()), len(labels)),
        classes={
            name: 100 * float(right[labels == index].mean())
            for index, name in enumerate(hierarchy.classes)
            if (labels == index).any()
        },
        concepts=concepts,
        calibration_error=calibration_error_percent(outputs.probabilities, labels),
        concept_mean=sum(concepts.values()) / len(concepts) if concepts else None,
    )


def measure_difference(
    logits: NDArray[np.float32],
    reference: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
) -> Difference:
    """How answers by `logits` (N, C) differ from those by `reference` (N, C) to the same images with labels (N,)."""
    errors = np.abs(logits.astype(np.float64) - reference)
    lost = (reference.argmax(axis=1) == labels).astype(int) - (logits.argmax(axis=1) == labels)
    shown = {name: lost[labels == index] for index, name in enumerate(classes) if (labels == index).any()}
    return Difference(
        top1_drop=top1_percent(reference, labels) - top1_percent(logits, labels),
        class_drop={name: 100 * float(each.mean()) for name, each in shown.items()},
        class_lost={name: int(each.sum()) for name, each in shown.items()},
        agreement=agreement_percent(logits, reference),
        mean_logit_error=float(errors.mean()),
        max_logit_error=float(errors.max()),
    )


def agreement_percent(scores: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Percent of rows of two (N, C) whose largest entries are at the same place."""
    return top1_percent(scores, others.argmax(axis=1))
