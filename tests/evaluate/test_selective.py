"""Temperature and thresholds: against independent computations, and what they promise on images never seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from hkd_edge.evaluate.reliability import calibration_error_percent
from hkd_edge.evaluate.selective import (
    MIN_TEMPERATURE,
    calibrate,
    candidates,
    error_tail,
    fit_temperature,
    measure_decisions,
    operating_point,
)
from hkd_edge.recipe.delivery import Selective
from hkd_edge_runtime.decision import temper
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

DIGITS = Hierarchy(tuple("0123456789"), (Axis("parity", ("even", "odd"), (0, 1) * 5),))


@pytest.fixture(scope="module")
def answered() -> tuple[np.ndarray, np.ndarray]:
    """Logits (1197, 10) of a linear classifier that 600 real digits taught to be far too sure, and the labels."""
    images, labels = load_digits(return_X_y=True)
    model = LogisticRegression(C=100.0, max_iter=2000).fit(images[:600] / 16, labels[:600])
    return model.decision_function(images[600:] / 16), labels[600:]


def test_the_temperature_has_the_least_cross_entropy(answered: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = answered
    found = optimize.minimize_scalar(lambda t: log_loss(labels, temper(logits, t)), bounds=(0.1, 10), method="bounded")
    assert fit_temperature(logits, labels) == pytest.approx(found.x, rel=1e-4)


def test_the_temperature_is_undone_by_scaling_the_logits(answered: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = answered
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * fit_temperature(logits, labels))


def test_a_temperature_lowers_the_calibration_error_on_other_images(answered: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = answered
    temperature = fit_temperature(logits[:600], labels[:600])
    before = calibration_error_percent(temper(logits[600:], 1.0), labels[600:])
    after = calibration_error_percent(temper(logits[600:], temperature), labels[600:])
    assert after < before / 1.5


def test_answers_without_an_error_do_not_pull_the_temperature_to_nothing() -> None:
    assert fit_temperature(np.eye(4) * 5, np.arange(4)) == pytest.approx(MIN_TEMPERATURE)


@pytest.mark.parametrize(("wrong", "covered", "risk"), [(0, 299, 0.01), (3, 50, 0.1), (31, 4398, 0.01), (7, 7, 0.3)])
def test_the_tail_is_the_binomial_one(wrong: int, covered: int, risk: float) -> None:
    assert error_tail(wrong, covered, risk) == pytest.approx(stats.binom.cdf(wrong, covered, risk), rel=1e-9)


def test_passing_the_test_means_that_clopper_and_pearsons_bound_is_below_the_risk() -> None:
    for wrong in range(12):
        bound = stats.beta.ppf(0.95, wrong + 1, 1000 - wrong)
        assert (error_tail(wrong, 1000, 0.01) <= 0.05) == (bound <= 0.01)


def test_candidates_go_down_from_the_wanted_accuracy_to_all_images() -> None:
    thresholds = list(candidates(99.0))
    assert (thresholds[0], thresholds[-1]) == (0.99, 0.0)
    assert thresholds == sorted(thresholds, reverse=True)
    assert max(np.diff(sorted(thresholds))) < 0.03


def test_no_answers_prove_nothing_and_298_right_ones_too_little_for_99_percent() -> None:
    assert error_tail(0, 0, 0.01) == 1
    for count, found in ((298, False), (299, True)):
        point = operating_point(np.ones(count), np.full(count, True), count, Selective())
        assert (point is not None) == found


def test_the_lowest_threshold_that_holds_is_taken_with_its_coverage_and_accuracy() -> None:
    scores = np.repeat([0.995, 0.9, 0.5], [800, 100, 100])
    right = np.concatenate([np.full(900, True), np.full(100, False)])
    point = operating_point(scores, right, 2000, Selective())
    assert point is not None
    assert 0.5 < point.threshold <= 0.9
    assert (point.coverage, point.accuracy) == (45.0, 100.0)


def test_the_sequence_ends_at_the_first_threshold_that_fails() -> None:
    # Ten errors just below the first candidate fail the second; the right answers below must not repair it.
    scores = np.repeat([0.995, 0.9895, 0.5], [400, 10, 5000])
    right = np.concatenate([np.full(400, True), np.full(10, False), np.full(5000, True)])
    point = operating_point(scores, right, len(scores), Selective())
    assert point is not None
    assert point.threshold == 0.99


def test_the_wanted_accuracy_is_missed_no_more_often_than_the_level_says() -> None:
    """Scores that are exactly the chance of being right: the true accuracy above a threshold is their mean there."""
    generator = np.random.default_rng(0)
    population = generator.beta(8, 0.4, 50_000)
    wanted = Selective(accuracy=97.0, confidence_level=90.0)
    missed = 0
    for _ in range(200):
        scores = generator.choice(population, 2000)
        point = operating_point(scores, generator.random(2000) < scores, 2000, wanted)
        assert point is not None
        missed += population[population >= point.threshold].mean() < 0.97
    # At most 20 are expected; more than 31 has a chance below 1 % (binomial).
    assert 0 < missed <= 31


def test_what_the_runtime_decides_is_what_calibration_promised(answered: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = answered
    confidence = calibrate(logits, labels, DIGITS, Selective(accuracy=97.0, confidence_level=95.0))
    decisions = measure_decisions(logits, labels, DIGITS, confidence)
    assert confidence.label is not None
    assert (decisions.class_coverage, decisions.class_accuracy) == pytest.approx(
        (confidence.label.coverage, confidence.label.accuracy)
    )
    assert decisions.class_coverage + decisions.concept_coverage + decisions.unsure == pytest.approx(100)
    assert confidence.label.accuracy >= 97


def test_concepts_are_calibrated_where_the_class_is_unsure() -> None:
    # 400 sure zeros, and 400 images that are 0 or 2: even for sure, but which of them is a coin's toss.
    logits = np.full((800, 10), -20.0)
    logits[:400, 0] = 20
    logits[400:, [0, 2]] = 20
    labels = np.concatenate([np.zeros(600, np.int64), np.full(200, 2)])
    confidence = calibrate(logits, labels, DIGITS, Selective(accuracy=99.0, confidence_level=95.0))
    assert confidence.label is not None
    assert confidence.label.coverage == 50
    assert confidence.axes["parity"].coverage == 50
    decisions = measure_decisions(logits, labels, DIGITS, confidence)
    assert (decisions.class_coverage, decisions.concept_coverage, decisions.concept_accuracy) == (50, 50, 100)


def test_a_concept_for_a_class_of_which_the_axis_does_not_speak_is_wrong() -> None:
    hierarchy = Hierarchy(("cat", "dog", "car"), (Axis("pet", ("yes",), (0, 0, -1)),))
    logits = np.log(np.array([[0.5, 0.48, 0.02]] * 400))
    confidence = calibrate(logits, np.array([0, 1] * 200), hierarchy, Selective(accuracy=90.0))
    assert confidence.label is None
    decisions = measure_decisions(logits[:2], np.array([0, 2]), hierarchy, confidence)
    assert (decisions.concept_coverage, decisions.concept_accuracy) == (100, 50)


def test_too_few_images_to_prove_anything_leave_all_unsure() -> None:
    logits = np.eye(10) * math.log(1000)
    confidence = calibrate(logits, np.arange(10), DIGITS, Selective())
    assert (confidence.label, confidence.axes) == (None, {})
    decisions = measure_decisions(logits, np.arange(10), DIGITS, confidence)
    assert (decisions.unsure, decisions.class_accuracy) == (100, None)
