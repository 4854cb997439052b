from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hkd_edge_runtime import turns
from hkd_edge_runtime.turns import MINIMUM_RUNS, Pace, TimedCall, seconds_in_turns, time_in_turns, timing_of


def test_repeats_are_kept_to_exactly() -> None:
    (timing,) = time_in_turns([lambda run: 0.001], Pace(repeats=137), batch=2)
    assert (timing.runs, timing.batch, timing.p50_ms, timing.images_per_s) == (137, 2, 1.0, 2000.0)


def test_seconds_are_counted_of_the_calls_alone() -> None:
    (timing,) = time_in_turns([lambda run: 0.25], Pace(seconds=2.5), batch=1)
    assert timing.runs == 10


def test_a_slow_call_is_still_timed_a_few_times() -> None:
    (timing,) = time_in_turns([lambda run: 60.0], Pace(seconds=1), batch=1)
    assert timing.runs == MINIMUM_RUNS


def test_calls_take_turns_and_the_first_of_each_turn_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(turns.time, "perf_counter", lambda: now[0])
    order: list[str] = []

    def call(name: str, seconds: float) -> turns.TimedCall:
        def timed(run: int) -> float:
            order.append(f"{name}{run}")
            now[0] += seconds
            # The time of a run tells which it was, so that uncounted ones would be seen in the percentiles.
            return seconds

        return timed

    fast, slow = time_in_turns([call("a", 0.125), call("b", 0.5)], Pace(repeats=2), batch=1)
    assert order == ["a0", "a0", "a1", "b0", "b0", "b0", "b1"]
    assert (fast.p50_ms, slow.p50_ms) == (125, 500)


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=200))
def test_percentiles_are_in_order_and_within_the_range(seconds: list[float]) -> None:
    timing = timing_of(seconds, 1)
    assert min(seconds) * 1e3 - 1e-4 <= timing.p50_ms <= timing.p90_ms <= timing.p99_ms <= max(seconds) * 1e3 + 1e-4
    assert timing.images_per_s == pytest.approx(1 / np.mean(seconds), abs=0.06)


def test_shorter_turns_change_over_sooner() -> None:
    seen: list[str] = []

    def call(name: str) -> TimedCall:
        def run(number: int) -> float:
            seen.append(name)
            return 0.001

        return run

    seconds = seconds_in_turns([call("a"), call("b")], Pace(repeats=3), turn_s=1e-9)
    assert [len(each) for each in seconds] == [3, 3]
    # Each turn of one counted run follows three that settle.
    assert "".join(seen) == "aaaabbbb" * 3
