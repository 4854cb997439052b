from __future__ import annotations

import numpy as np
import pytest

from hkd_edge.study.measure import measures_of, mistake_severity
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

# A tree of two levels over four classes, and an axis that is silent on the last two.
TREE = Hierarchy(tuple("abcd"), (Axis("top", ("x", "y"), (0, 0, 0, 1)), Axis("low", ("p", "q", "r"), (0, 0, 1, 2))))
SILENT = Hierarchy(tuple("abcd"), (Axis("some", ("x", "y"), (0, 1, -1, -1)),))


@pytest.mark.parametrize(("answer", "severity"), [(1, 0.0), (2, 0.5), (3, 1.0)])
def test_a_mistake_is_as_severe_as_the_share_of_levels_it_loses(answer, severity):
    assert mistake_severity(np.array([answer]), np.array([0]), TREE) == severity


def test_right_answers_do_not_count():
    assert mistake_severity(np.array([0, 2]), np.array([0, 0]), TREE) == 0.5
    assert mistake_severity(np.array([0]), np.array([0]), TREE) is None


def test_where_no_axis_speaks_of_the_label_there_is_no_severity():
    assert mistake_severity(np.array([0]), np.array([2]), SILENT) is None
    assert mistake_severity(np.array([2]), np.array([0]), SILENT) == 1.0


def test_without_a_hierarchy_there_is_none():
    assert mistake_severity(np.array([1]), np.array([0]), Hierarchy(("a", "b"))) is None


def test_measures_of_logits_by_hand():
    logits = np.array([[9, 0, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0], [0, 0, 9, 0]], np.float32)
    measures = measures_of(logits, np.array([0, 0, 2, 3]), TREE, 1.0)
    assert (measures.images, measures.top1, measures.severity) == (4, 50.0, 0.5)
    assert measures.concepts == {"top": 75.0, "low": 75.0}
    assert (measures.robustness, measures.corruptions) == (None, {})


def test_a_temperature_of_one_changes_no_calibration_and_another_does():
    logits, labels = np.array([[9, 0, 0, 0], [0, 9, 0, 0]], np.float32), np.array([0, 0])
    plain, tempered = (measures_of(logits, labels, TREE, temperature) for temperature in (1.0, 100.0))
    assert plain.tempered_calibration_error == pytest.approx(plain.calibration_error, abs=1e-4)
    assert plain.calibration_error == pytest.approx(50, abs=0.1)
    assert tempered.tempered_calibration_error == pytest.approx(50 - 100 / 3.84, abs=1)


def test_robustness_is_the_mean_over_all_kinds_and_strengths():
    logits = np.eye(4, dtype=np.float32)
    worse = {"gaussian_noise": (80.0, 60.0), "contrast": (40.0, 20.0)}
    assert measures_of(logits, np.arange(4), TREE, 1.0, worse).robustness == 50.0
