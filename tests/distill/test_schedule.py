from __future__ import annotations

import pytest

from hkd_edge.distill.schedule import teacher_factor, weights_at
from hkd_edge.recipe.schema import Distill, Training, Weights


@pytest.mark.parametrize("decay", ["none", "linear", "cosine"])
def test_the_first_epoch_has_the_whole_weight_without_a_warm_up(decay):
    assert teacher_factor(0, 1, 0.0, decay) == 1
    assert teacher_factor(0, 10, 0.0, decay) == 1


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_a_decay_halves_the_weight_at_half_time_and_ends_near_zero(decay):
    assert teacher_factor(50, 100, 0.0, decay) == pytest.approx(0.5)
    assert 0 < teacher_factor(99, 100, 0.0, decay) < 0.02


def test_a_warm_up_is_that_of_the_papers_code():
    """min(epoch / 20, 1) with epochs counted from 1, of 240."""
    found = [teacher_factor(epoch, 240, 20 / 240, "none") for epoch in range(240)]
    assert found == pytest.approx([min((epoch + 1) / 20, 1) for epoch in range(240)])


def test_all_weights_but_ce_follow_the_schedule():
    weights = Weights(ce=1.0, kd=2.0, dkd=2.0, concept_labels=2.0, subclass=2.0)
    settings = Distill(training=Training(epochs=4), weights=weights, teacher_decay="linear")
    last = weights_at(3, settings)
    assert (last.ce, last.kd, last.dkd, last.concept_labels, last.subclass, last.concept) == (1, 0.5, 0.5, 0.5, 0.5, 0)
