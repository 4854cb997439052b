"""The bundle's evaluation subset: labelled test images by which a board measures its own accuracy.

The .npz file holds `images`, uint8 (N, H, W, C), and `labels`, int64 (N,), indices into the classes. They are
few: 200 images tell 93 % from 88 %, not from 92 %. The accuracy on all test images is in the manifest's metrics.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime.arrays import read_arrays, take_array
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.hierarchy import SILENT, Hierarchy
from hkd_edge_runtime.manifest import Manifest
from hkd_edge_runtime.session import Model

IMAGES = "images"
LABELS = "labels"
_BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Images uint8 (N, H, W, C) with their labels int64 (N,), indices into the manifest's `labels`."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Accuracy:
    """How often an open model is right.

    Attributes:
        images: how many were judged.
        top1: percent whose most probable class is the label.
        concepts: by axis, percent whose right concept has the largest mass, of the images on which the axis speaks.
    """

    images: int
    top1: float
    concepts: Mapping[str, float]


def read_evaluation(folder: str | os.PathLike[str], manifest: Manifest) -> EvaluationSet | None:
    """The evaluation subset of the bundle in `folder`; None if it has none.

    Raises:
        BundleError: if the file is no such .npz, or an array is missing, of another dtype or shape, or out of range.
    """
    if manifest.evaluation is None:
        return None
    path = Path(folder) / manifest.evaluation.path
    arrays = read_arrays(path, "evaluation images")
    images = take_array(path, arrays, IMAGES, "uint8", manifest.input.shape)
    labels = take_array(path, arrays, LABELS, "int64", (), len(images))
    if labels.min() < 0 or labels.max() >= len(manifest.labels):
        raise BundleError(
            f"{path}: {LABELS}: expected indices from 0 to {len(manifest.labels) - 1}, "
            f"got {labels.min()} to {labels.max()}. Export the bundle again."
        )
    return EvaluationSet(images, labels)


def evaluate(model: Model, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Accuracy:
    """How often `model` is right on images uint8 (N, H, W, C) with labels int64 (N,), indices into `model.labels`.

    Raises:
        ValueError: for another number of labels than of images, or labels out of range.
        InputError: for images of another dtype or shape, or none.
        ClosedModelError: if the model is closed.
    """
    if len(labels) != len(images) or not np.isin(labels, np.arange(len(model.labels))).all():
        raise ValueError(
            f"labels: expected {len(images)} indices from 0 to {len(model.labels) - 1}, one for each image, "
            f"got {len(labels)} from {np.min(labels, initial=0)} to {np.max(labels, initial=0)}."
        )
    starts = range(0, max(len(images), 1), _BATCH_SIZE)
    outputs = [model.run(images[start : start + _BATCH_SIZE]) for start in starts]
    return Accuracy(
        len(images),
        top1_percent(np.concatenate([each.probabilities for each in outputs]), labels),
        concept_accuracy_percent(
            np.concatenate([each.concept_probabilities for each in outputs]), labels, model.manifest.hierarchy
        ),
    )


def top1_percent(scores: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> float:
    """Percent of rows of `scores` (N, C) whose largest entry is at `labels` (N,)."""
    return 100.0 * float(np.mean(scores.argmax(axis=1) == labels))


def concept_accuracy_percent(
    concept_probabilities: npt.NDArray[Any], labels: npt.NDArray[np.int64], hierarchy: Hierarchy
) -> dict[str, float]:
    """Per axis by name: percent of images whose right concept has the largest mass.

    `concept_probabilities` (N, K) are all axes side by side. Only images on whose class the axis speaks are counted;
    an axis without any such image is left out.
    """
    result = {}
    for axis, columns in zip(hierarchy.axes, hierarchy.slices(), strict=True):
        concepts = np.asarray(axis.class_to_concept)[labels]
        spoken = concepts != SILENT
        if spoken.any():
            result[axis.name] = top1_percent(concept_probabilities[spoken, columns], concepts[spoken])
    return result
