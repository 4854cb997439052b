from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import permutation_test, ttest_rel
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from hkd_edge.study.analysis import analyse
from hkd_edge.study.statistics import paired_means, sign_flip_p_value, spread
from tests.study.conftest import drawn, study

FIRST, SECOND = np.random.default_rng(1).normal(90, 1, (2, 5))


def test_the_t_test_is_scipys():
    assert paired_means(FIRST, SECOND).p_value == pytest.approx(ttest_rel(SECOND, FIRST).pvalue)


def test_the_interval_is_that_of_statsmodels():
    low, high = DescrStatsW(SECOND - FIRST).tconfint_mean(0.05)
    interval = paired_means(FIRST, SECOND).interval
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("seeds", [2, 5, 8])
def test_the_sign_test_is_scipys_exact_permutation_test(seeds):
    first, second = np.random.default_rng(seeds).normal(0, 1, (2, seeds))
    exact = permutation_test(
        (second, first), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p_value(second - first) == pytest.approx(exact.pvalue)


def test_five_seeds_that_agree_reach_a_sixteenth():
    assert sign_flip_p_value([0.1, 0.2, 0.3, 0.1, 0.4]) == 0.0625


def test_equal_values_differ_by_nothing():
    paired = paired_means([1.0, 2.0], [1.0, 2.0])
    assert (paired.mean, paired.p_value, paired.sign_p_value) == (0.0, 1.0, 1.0)


def test_a_difference_without_spread_has_no_p_value():
    assert paired_means([1.0, 2.0], [2.0, 3.0]).p_value is None


def test_one_seed_has_neither_interval_nor_p_value():
    paired = paired_means([1.0], [2.0])
    assert (paired.interval, paired.p_value, spread([1.0]).deviation) == (None, None, None)


def test_values_of_other_seeds_are_refused():
    with pytest.raises(ValueError, match="same seeds twice, got 2 and 1"):
        paired_means([1.0, 2.0], [1.0])


def test_the_correction_is_statsmodels_holm():
    report = analyse(
        study(["scratch", "kd", "hkd"], 5, ["scratch"], [0.1, 1.0]), drawn(["scratch", "kd", "hkd"], 5, [0.1, 1.0])
    )
    for measure in ("top1", "robustness"):
        contrasts = [each for each in report.contrasts if each.measure == measure]
        expected = multipletests([each.paired.p_value for each in contrasts], method="holm")[1]
        assert [each.corrected_p_value for each in contrasts] == pytest.approx(list(expected))
        assert len(contrasts) == 4
