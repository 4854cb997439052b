"""The calibration error and its bins: by hand, and against torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from hkd_edge.evaluate.reliability import BINS, Bin, calibration_error_percent, reliability_bins


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_the_calibration_error_is_that_of_torchmetrics(sharpness: float) -> None:
    draw = np.random.default_rng(5)
    logits = draw.normal(0, sharpness, (2000, 7))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.where(draw.random(2000) < 0.7, probabilities.argmax(axis=1), draw.integers(0, 7, 2000))
    theirs = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 7, n_bins=BINS, norm="l1")
    assert calibration_error_percent(probabilities, labels) == pytest.approx(100 * float(theirs), rel=1e-5)


def test_the_bins_of_a_case_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    assert reliability_bins(probabilities, np.array([0, 1, 1])) == (Bin(1, 60.0, 100.0), Bin(2, 90.0, 50.0))


def test_the_calibration_error_of_a_case_by_hand() -> None:
    # Scores 0.9 (right) and 0.9 (wrong) share a bin: |1 - 1.8|; 0.6 (right): |1 - 0.6|; over 3 images.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    assert calibration_error_percent(probabilities, np.array([0, 1, 1])) == pytest.approx(100 * (0.8 + 0.4) / 3)


def test_a_score_of_one_falls_into_the_last_bin() -> None:
    assert calibration_error_percent(np.array([[1.0, 0.0]]), np.array([0])) == 0
