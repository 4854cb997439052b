"""Which of class, concept and neither is answered, by thresholds of calibrated scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hkd_edge_runtime.confidence import Confidence, OperatingPoint
from hkd_edge_runtime.decision import Decision, decide, temper
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

HIERARCHY = Hierarchy(
    ("cat", "dog", "car", "cup"),
    (
        Axis("kind", ("animal", "thing"), (0, 0, 1, 1)),
        Axis("size", ("small", "large"), (0, -1, 1, 0)),
    ),
)


def confidence(label: float | None = None, temperature: float = 1.0, **axes: float) -> Confidence:
    points = {name: OperatingPoint(threshold, 50.0, 99.0) for name, threshold in axes.items()}
    return Confidence(
        temperature, 99.0, 95.0, 1000, points, None if label is None else OperatingPoint(label, 50.0, 99.0)
    )


def decided(*probabilities: float, by: Confidence | None, threshold: float | None = None) -> Decision:
    logits = np.log(np.array(probabilities, np.float32))
    return decide(logits, int(logits.argmax()), HIERARCHY, by, threshold)


def test_a_sure_class_is_the_answer() -> None:
    result = decided(0.75, 0.125, 0.0625, 0.0625, by=confidence(0.7, kind=0.5))
    assert (result.kind, result.name, result.axis) == ("class", "cat", None)
    assert result.score == pytest.approx(0.75)


def test_without_a_sure_class_a_sure_concept_is_the_answer() -> None:
    result = decided(0.5, 0.4375, 0.03125, 0.03125, by=confidence(0.7, kind=0.9))
    assert (result.kind, result.name, result.axis) == ("concept", "animal", "kind")
    assert result.score == pytest.approx(0.9375)


def test_of_several_sure_concepts_the_surest_is_the_answer() -> None:
    cat_or_cup = (0.5, 0.015625, 0.015625, 0.46875)
    result = decided(*cat_or_cup, by=confidence(0.7, kind=0.5, size=0.9))
    assert (result.name, result.axis) == ("small", "size")


def test_an_axis_that_is_most_likely_silent_gives_no_concept() -> None:
    assert decided(0.1875, 0.625, 0.125, 0.0625, by=confidence(0.7, size=0.0)).kind == "unsure"


def test_an_axis_without_a_threshold_gives_no_concept() -> None:
    assert decided(0.5, 0.4375, 0.03125, 0.03125, by=confidence(0.7, size=0.9)).kind == "unsure"


def test_an_artefact_without_thresholds_is_never_sure_and_tells_the_score_of_its_class() -> None:
    assert decided(0.96875, 0.015625, 0.0078125, 0.0078125, by=confidence()) == Decision(
        "unsure", None, None, pytest.approx(0.96875)
    )


def test_a_score_that_just_reaches_the_threshold_is_sure() -> None:
    logits = np.zeros(4, np.float32)
    assert decide(logits, 0, HIERARCHY, confidence(0.25)).kind == "class"
    assert decide(logits, 0, HIERARCHY, confidence(np.nextafter(0.25, 1))).kind == "unsure"


def test_a_threshold_of_the_caller_takes_the_place_of_all_stored_ones() -> None:
    unsure = (0.5, 0.4375, 0.03125, 0.03125)
    assert decided(*unsure, by=confidence(0.99, size=0.99), threshold=0.9).name == "animal"
    assert decided(*unsure, by=confidence(0.1), threshold=0.99).kind == "unsure"


def test_scores_are_tempered_with_the_concepts_recomputed_from_them() -> None:
    # T = 1/2 squares the odds: 16 : 9 : 1 : 1 becomes 256 : 81 : 1 : 1.
    odds = np.array([16, 9, 1, 1])
    squares = odds**2 / (odds**2).sum()
    tempered = decided(*(odds / odds.sum()), by=confidence(0.8, temperature=0.5, kind=0.9))
    assert (tempered.name, tempered.score) == ("animal", pytest.approx(squares[:2].sum(), rel=1e-6))
    assert decided(*(odds / odds.sum()), by=confidence(0.7, temperature=0.5)).score == pytest.approx(
        squares[0], rel=1e-6
    )


def test_without_a_stored_temperature_the_models_own_probabilities_are_held_against_the_threshold() -> None:
    result = decided(0.75, 0.125, 0.0625, 0.0625, by=None, threshold=0.7)
    assert (result.kind, result.score) == ("class", pytest.approx(0.75))


def test_without_any_threshold_there_is_no_decision() -> None:
    with pytest.raises(BundleError, match="expected thresholds in the bundle, got none. Give a threshold"):
        decided(0.7, 0.1, 0.1, 0.1, by=None)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold: expected a number from 0 to 1, got"):
        decided(0.7, 0.1, 0.1, 0.1, by=confidence(0.5), threshold=threshold)


def test_logits_of_any_size_do_not_overflow() -> None:
    assert temper(np.array([1e30, 0, -1e30], np.float32), 0.05).tolist() == [1.0, 0.0, 0.0]


@given(st.lists(st.floats(-30, 30, width=32), min_size=4, max_size=4), st.floats(0.05, 20), st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_a_higher_threshold_never_makes_an_answer_more_precise(
    values: list[float], temperature: float, threshold: float
) -> None:
    logits = np.array(values, np.float32)
    index, by = int(logits.argmax()), confidence(0.5, temperature)
    precision = {"unsure": 0, "concept": 1, "class": 2}
    lower, higher = (decide(logits, index, HIERARCHY, by, bound) for bound in (threshold / 2, threshold))
    assert precision[lower.kind] >= precision[higher.kind]
    assert higher.kind == "unsure" or higher.score >= threshold
