"""Accuracies and differences on cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hkd_edge.evaluate.accuracy import measure_accuracy, measure_difference, outputs_from_logits
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

HIERARCHY = Hierarchy(("a", "b", "c"), (Axis("group", ("ab", "c"), (0, 0, 1)),))
# Answers a, b, b, c to images of a, b, a, c: three of four classes right, all four concepts.
LOGITS = np.array([[5, 0, 0], [0, 5, 0], [0, 5, 0], [0, 0, 5]], np.float32)
LABELS = np.array([0, 1, 0, 2])


def test_accuracy_counts_classes_and_concepts() -> None:
    accuracy = measure_accuracy(outputs_from_logits(LOGITS, HIERARCHY), LABELS, HIERARCHY)
    assert (accuracy.images, accuracy.top1) == (4, 75.0)
    assert accuracy.classes == {"a": 50.0, "b": 100.0, "c": 100.0}
    assert (accuracy.concepts, accuracy.concept_mean) == ({"group": 100.0}, 100.0)
    assert accuracy.top1_interval.low < 75 < accuracy.top1_interval.high


def test_classes_without_images_are_left_out() -> None:
    outputs = outputs_from_logits(LOGITS[:3], HIERARCHY)
    assert measure_accuracy(outputs, LABELS[:3], HIERARCHY).classes.keys() == {"a", "b"}
    assert measure_difference(LOGITS[:3], LOGITS[:3], LABELS[:3], HIERARCHY.classes).class_lost.keys() == {"a", "b"}


def test_without_axes_there_is_no_concept_accuracy() -> None:
    flat = Hierarchy(HIERARCHY.classes)
    accuracy = measure_accuracy(outputs_from_logits(LOGITS, flat), LABELS, flat)
    assert (accuracy.concepts, accuracy.concept_mean) == ({}, None)


def test_outputs_from_logits_are_probabilities_and_their_mass_on_concepts() -> None:
    outputs = outputs_from_logits(LOGITS, HIERARCHY)
    assert outputs.probabilities.sum(axis=1) == pytest.approx(np.ones(4))
    assert outputs.concept_probabilities[:, 0] == pytest.approx(outputs.probabilities[:, :2].sum(axis=1))


def test_a_difference_counts_what_was_lost_and_won_in_each_class() -> None:
    worse = LOGITS.copy()
    worse[1] = [0, 0, 5]  # b is now called c
    worse[2] = [5, 0, 0]  # the mistake on a is mended
    difference = measure_difference(worse, LOGITS, LABELS, HIERARCHY.classes)
    assert difference.top1_drop == 0
    assert difference.class_drop == {"a": -50.0, "b": 100.0, "c": 0.0}
    assert difference.class_lost == {"a": -1, "b": 1, "c": 0}
    assert difference.worst_class == ("b", 100.0)
    assert difference.agreement == 50.0
    assert (difference.mean_logit_error, difference.max_logit_error) == (pytest.approx(20 / 12), 5.0)
