"""What a cell's student answers of validation and test images, in torch fp32."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.dataset import ImageSet
from hkd_edge.data.resident import on_device
from hkd_edge.evaluate.accuracy import measure_accuracy, outputs_from_logits
from hkd_edge.evaluate.metrics import predict_logits
from hkd_edge.evaluate.reliability import calibration_error_percent
from hkd_edge.evaluate.selective import fit_temperature
from hkd_edge.run.context import Context
from hkd_edge.stages.distill import load_student
from hkd_edge.study.cells import Measures
from hkd_edge.study.corruptions import corrupted_top1
from hkd_edge_runtime.decision import temper
from hkd_edge_runtime.hierarchy import SILENT, Hierarchy


def measure_student(context: Context, unmet: str) -> tuple[Measures, Measures]:
    """The student of a run on its validation images and on its test images; of the class `unmet` alone if there is one.

    The temperature of calibration is fitted on validation images of the classes that had labels.

    Raises:
        ValueError: if `unmet` is a class without such an image.
    """
    dataset, hierarchy, student = context.dataset, context.hierarchy(), load_student(context)
    normalize = context.resident.normalize

    def logits_of(images: ImageSet) -> NDArray[np.float32]:
        logits = predict_logits(student, on_device(images.images, context.device), normalize)
        return logits.cpu().numpy()

    validation = dataset.train.take(context.split().validation)
    on_validation = logits_of(validation)
    left_out = dataset.classes.index(unmet) if unmet else None
    labelled = validation.labels != left_out
    temperature = fit_temperature(on_validation[labelled], validation.labels[labelled])
    both = []
    for images, logits in ((validation, on_validation), (dataset.test, logits_of(dataset.test))):
        if left_out is not None:
            of_class = _of_class(images, left_out)
            both.append(measures_of(logits[of_class], images.labels[of_class], hierarchy, temperature))
        else:
            corruptions = corrupted_top1(student, images, normalize, context.device)
            both.append(measures_of(logits, images.labels, hierarchy, temperature, corruptions))
    return both[0], both[1]


def measures_of(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    hierarchy: Hierarchy,
    temperature: float,
    corruptions: Mapping[str, tuple[float, ...]] | None = None,
) -> Measures:
    """The measures of logits (N, C) for images with labels (N,), with a `temperature` fitted on other images."""
    accuracy = measure_accuracy(outputs_from_logits(logits, hierarchy), labels, hierarchy)
    return Measures(
        images=accuracy.images,
        top1=accuracy.top1,
        concepts=dict(accuracy.concepts),
        concept_mean=accuracy.concept_mean,
        calibration_error=accuracy.calibration_error,
        tempered_calibration_error=calibration_error_percent(temper(logits, temperature), labels),
        severity=mistake_severity(logits.argmax(axis=1), labels, hierarchy),
        robustness=fmean(map(fmean, corruptions.values())) if corruptions else None,
        corruptions=dict(corruptions or {}),
    )


def mistake_severity(answers: NDArray[np.int64], labels: NDArray[np.int64], hierarchy: Hierarchy) -> float | None:
    """How far wrong answers (N,) lie from the labels (N,) in the hierarchy: 0 keeps all concepts, 1 keeps none.

    Of each mistake the share of axes on which its class has not the label's concept, of the axes that speak of the
    label; then the mean over the mistakes. Mistakes on labels of which no axis speaks are left out; None if none is
    left. For a tree, whose axes are its levels, this is the height of the lowest common ancestor over the depth
    (L. Bertinetto et al., arXiv 1912.09393, section 2), less the level of the classes themselves.
    """
    if not hierarchy.axes:
        return None
    concepts = np.array([axis.class_to_concept for axis in hierarchy.axes]).T
    wrong = answers != labels
    right_concepts, given = concepts[labels[wrong]], concepts[answers[wrong]]
    spoken = right_concepts != SILENT
    lost = ((right_concepts != given) & spoken).sum(axis=1)
    told = spoken.sum(axis=1)
    return float(np.mean(lost[told > 0] / told[told > 0])) if (told > 0).any() else None


def _of_class(images: ImageSet, label: int) -> NDArray[np.int64]:
    chosen = np.flatnonzero(images.labels == label)
    if not len(chosen):
        raise ValueError(f"expected images of class {label}, got none.")
    return chosen
