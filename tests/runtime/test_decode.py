from __future__ import annotations

import json

import numpy as np
import pytest

from hkd_edge_runtime.backends import Outputs
from hkd_edge_runtime.confidence import Confidence, OperatingPoint
from hkd_edge_runtime.decision import Decision
from hkd_edge_runtime.decode import Answer, ConceptAnswer, concept_answer, decode
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

HIERARCHY = Hierarchy(
    ("cat", "dog", "car"),
    (Axis("kind", ("animal", "thing"), (0, 0, 1)), Axis("size", ("small", "large"), (0, -1, 1))),
)


def answer(*probabilities: float, hierarchy: Hierarchy = HIERARCHY) -> Answer:
    row = np.array([probabilities], np.float32)
    return decode(Outputs(np.log(row), row, row @ hierarchy.membership()), hierarchy)[0]


def test_the_label_is_the_most_probable_class() -> None:
    result = answer(0.25, 0.125, 0.625)
    assert (result.label, result.index, result.score) == ("car", 2, 0.625)


def test_on_an_axis_the_concept_with_the_largest_mass_wins_over_the_label() -> None:
    # car is the likeliest class, but the two animals together are likelier than it.
    result = answer(0.3125, 0.25, 0.4375)
    assert result.label == "car"
    assert result.concepts["kind"] == ConceptAnswer("animal", 0.5625)


def test_a_larger_silent_mass_means_no_concept() -> None:
    assert answer(0.25, 0.625, 0.125).concepts["size"] == ConceptAnswer(None, 0.625)


def test_a_silent_mass_that_only_equals_the_largest_does_not_win() -> None:
    assert concept_answer(("small", "large"), [0.5, 0.0]) == ConceptAnswer("small", 0.5)


def test_rounding_does_not_make_an_axis_silent_that_speaks_of_all_classes() -> None:
    concepts = tuple("abcdefg")
    assert concept_answer(concepts, [np.float32(1 / 7).item()] * 7).concept == "a"


def test_top_gives_the_best_classes_first_and_at_most_all() -> None:
    result = answer(0.25, 0.125, 0.625)
    assert result.top(2) == (("car", 0.625), ("cat", 0.25))
    assert len(result.top(9)) == 3


def test_top_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="k: expected a number >= 1, got 0"):
        answer(0.5, 0.25, 0.25).top(0)


def test_an_answer_becomes_plain_json() -> None:
    result = json.loads(json.dumps(answer(0.25, 0.625, 0.125).to_dict()))
    assert result["label"] == "dog"
    assert result["probabilities"] == {"cat": 0.25, "dog": 0.625, "car": 0.125}
    assert result["concepts"]["size"] == {"concept": None, "score": 0.625}


def test_without_axes_there_are_no_concepts() -> None:
    assert answer(0.5, 0.5, hierarchy=Hierarchy(("cat", "dog"))).concepts == {}


def test_a_temperature_changes_the_calibrated_score_and_nothing_else() -> None:
    row = np.array([[0.25, 0.125, 0.625]], np.float32)
    outputs = Outputs(np.log(row), row, row @ HIERARCHY.membership())
    calibrated = decode(outputs, HIERARCHY, Confidence(0.5, 99.0, 95.0, 100, {}))[0]
    assert np.array_equal(calibrated.probabilities, row[0])
    assert (calibrated.score, calibrated.concepts["kind"]) == (0.625, ConceptAnswer("thing", 0.625))
    # squares, since T = 1/2: 0.390625 of 0.0625 + 0.015625 + 0.390625
    assert calibrated.calibrated_score == pytest.approx(0.390625 / 0.46875)
    assert answer(0.25, 0.125, 0.625).calibrated_score is None


def test_an_answer_decides_by_the_thresholds_of_its_artefact() -> None:
    row = np.array([[0.5, 0.375, 0.125]], np.float32)
    confidence = Confidence(1.0, 99.0, 95.0, 100, {"kind": OperatingPoint(0.75, 50.0, 99.0)})
    result = decode(Outputs(np.log(row), row, row @ HIERARCHY.membership()), HIERARCHY, confidence)[0]
    assert result.label_or_concept() == Decision("concept", "animal", "kind", pytest.approx(0.875))
    assert result.label_or_concept(0.4) == Decision("class", "cat", None, pytest.approx(0.5))


def test_an_answer_has_the_logits_of_its_probabilities() -> None:
    result = answer(0.25, 0.125, 0.625)
    np.testing.assert_allclose(np.exp(result.logits), result.probabilities, rtol=1e-6)


def test_an_answer_cannot_be_changed() -> None:
    result = answer(0.25, 0.125, 0.625)
    with pytest.raises(AttributeError):
        result.label = "dog"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        result.probabilities[0] = 1


def test_an_answer_shows_what_it_says() -> None:
    assert repr(answer(0.25, 0.125, 0.625)).startswith("Answer(label='car', score=0.625, concepts={'kind': ")


@pytest.mark.parametrize("read", ["label", "score", "index", "probabilities", "concepts", "logits", "top", "to_dict"])
def test_nothing_can_be_read_off_an_answer_that_is_no_number(read: str) -> None:
    row = np.array([0, 0, 0, 0.5, np.nan, 0.5, 0, 0, 0, 0], np.float32)
    result = Answer(HIERARCHY, None, row.tobytes())
    with pytest.raises(BundleError, match="probabilities: expected numbers, got NaN"):
        {"top": lambda: result.top(1), "to_dict": result.to_dict}.get(read, lambda: getattr(result, read))()


def test_a_probability_that_is_no_number_is_refused() -> None:
    with pytest.raises(BundleError, match="probabilities: expected numbers, got NaN"):
        answer(0.5, float("nan"), 0.5)
