"""Intervals and tests agree with statsmodels, with published numbers and with a likelihood maximised by search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multinomial
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from hkd_edge.evaluate.statistics import Pairs, holm, mcnemar, paired_difference, pairs_of, wilson_interval

quickly = settings(max_examples=40, deadline=None)
counts = st.integers(0, 60)
some_pairs = st.builds(Pairs, counts, counts, counts, counts).filter(lambda pairs: pairs.images)


def swapped(pairs: Pairs) -> Pairs:
    return Pairs(pairs.both, pairs.only_second, pairs.only_first, pairs.neither)


@quickly
@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_statsmodels(case: tuple[int, int]) -> None:
    interval = wilson_interval(*case)
    expected = proportion_confint(*case, alpha=0.05, method="wilson")
    assert (interval.low, interval.high) == pytest.approx([100 * end for end in expected], abs=1e-4)


@quickly
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_agrees_with_statsmodels(first: int, second: int) -> None:
    exact = first + second < 25
    found = mcnemar(Pairs(500, first, second, 9))
    expected = (
        statsmodels_mcnemar([[500, first], [second, 9]], exact=exact, correction=True).pvalue if first + second else 1
    )
    # statsmodels' correction moves equal counts apart; here they are just equal.
    assert found.p_value == pytest.approx(1.0 if first == second else min(1.0, expected), abs=1e-12)
    assert found.method == ("exact" if exact else "chi-square")


def test_mcnemar_by_hand() -> None:
    assert mcnemar(Pairs(0, 0, 5, 0)).p_value == pytest.approx(2 / 32)
    assert mcnemar(Pairs(0, 10, 30, 0)).p_value == pytest.approx(0.002664, abs=1e-6)  # (20 - 1)^2 / 40 = 9.025


@quickly
@given(some_pairs)
def test_who_comes_first_changes_the_sign_alone(pairs: Pairs) -> None:
    there, back = paired_difference(pairs), paired_difference(swapped(pairs))
    assert there.points == -back.points
    assert (there.interval.low, there.interval.high) == pytest.approx(
        (-back.interval.high, -back.interval.low), abs=2e-4
    )
    assert mcnemar(pairs) == mcnemar(swapped(pairs))


@quickly
@given(some_pairs)
def test_the_interval_holds_the_difference_and_stays_within_100_points(pairs: Pairs) -> None:
    found = paired_difference(pairs)
    assert -100 <= found.interval.low <= found.points <= found.interval.high <= 100
    assert found.interval.low < found.interval.high


def test_tangos_interval_is_the_published_one() -> None:
    # Fagerland, Lydersen and Laake (Statistics in Medicine 33, 2014): airway hyper-responsiveness, -0.517 to -0.026.
    interval = paired_difference(Pairs(both=1, only_first=7, only_second=1, neither=12)).interval
    assert (interval.low, interval.high) == pytest.approx((-51.7, -2.6), abs=0.05)


def test_no_discordant_pair_is_no_proof_that_there_is_no_difference() -> None:
    found = paired_difference(Pairs(both=90, only_first=0, only_second=0, neither=10))
    assert (found.points, found.interval.low, found.interval.high) == pytest.approx(
        (0, -100 * 3.84146 / 103.84146, 100 * 3.84146 / 103.84146), abs=2e-4
    )


@quickly
@given(st.builds(Pairs, st.integers(1, 60), st.integers(1, 40), st.integers(1, 40), st.integers(1, 60)))
def test_at_the_intervals_ends_a_score_test_by_search_is_at_its_limit(pairs: Pairs) -> None:
    interval = paired_difference(pairs).interval
    for end, limit in ((interval.low, 1.96), (interval.high, -1.96)):
        assert score_by_search(pairs, end / 100) == pytest.approx(limit, abs=0.01)


def score_by_search(pairs: Pairs, difference: float) -> float:
    """The score statistic, its nuisance share by maximising the likelihood instead of by Tango's formula."""

    def loss(only_first: float) -> float:
        only_second = only_first + difference
        same = 1 - only_first - only_second
        likelihoods = (pairs.only_first, only_first), (pairs.only_second, only_second)
        return -sum(n * np.log(p) for n, p in (*likelihoods, (pairs.images - pairs.discordant, same)))

    bounds = (max(0, -difference), (1 - difference) / 2)
    only_first = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x
    variance = pairs.images * (2 * only_first + difference - difference**2)
    return (pairs.only_second - pairs.only_first - pairs.images * difference) / np.sqrt(variance)


@pytest.mark.parametrize(("only_first", "only_second"), [(0.02, 0.02), (0.03, 0.08), (0.0, 0.05)])
def test_95_of_100_intervals_hold_the_true_difference(only_first: float, only_second: float) -> None:
    images = 60
    shares = [only_first, only_second, 1 - only_first - only_second]
    covered = 0.0
    for first in range(20):
        for second in range(20):
            interval = paired_difference(Pairs(images - first - second, first, second, 0)).interval
            if interval.low <= 100 * (only_second - only_first) <= interval.high:
                covered += multinomial.pmf([first, second, images - first - second], images, shares)
    assert 0.93 < covered < 0.995


def test_what_mcnemar_finds_significant_has_an_interval_without_0() -> None:
    for first in range(30):
        for second in range(30):
            pairs = Pairs(500, first, second, 50)
            interval = paired_difference(pairs).interval
            assert mcnemar(pairs).p_value >= 0.05 or not interval.low <= 0 <= interval.high


@pytest.mark.parametrize("several", [1, 2, 7, 30])
def test_holm_agrees_with_statsmodels(several: int) -> None:
    p_values = np.random.default_rng(several).random(several) ** 4
    p_values[-1] = p_values[0]  # equal ones, too
    assert holm(list(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


@quickly
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers_a_p_value(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, corrected, strict=True))
    assert np.all(np.diff(np.array(corrected)[np.argsort(p_values)]) >= 0)


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == ()


@quickly
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
def test_pairs_count_each_image_once(answers: list[tuple[bool, bool]]) -> None:
    first, second = np.array(answers, bool).T
    pairs = pairs_of(first, second)
    assert pairs.images == len(answers)
    assert pairs.both + pairs.only_first == first.sum()
    assert pairs.both + pairs.only_second == second.sum()


def test_pairs_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="expected answers to the same images"):
        pairs_of(np.ones(3, bool), np.ones(4, bool))
