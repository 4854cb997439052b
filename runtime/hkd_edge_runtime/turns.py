"""Times several calls in turns, so that whatever else the machine does, or how warm it gets, hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

TURN_S = 0.25
# The first calls of a turn find the caches filled by another's; they are not counted.
SETTLING_CALLS = 3
SETTLING_S = 0.02
MINIMUM_RUNS = 5

# Runs once; is given the number of the run, by which it may choose its input, and returns the seconds that it took.
TimedCall = Callable[[int], float]


@dataclass(frozen=True)
class Timing:
    """Calls with `batch` images each.

    Attributes:
        p50_ms: the median of one call; likewise the other percentiles, near the slowest if there are few runs.
        min_ms: of the fastest call.
        images_per_s: images of all runs by their time together.
        runs: how many calls were counted.
    """

    batch: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    min_ms: float
    images_per_s: float
    runs: int


@dataclass(frozen=True)
class Pace:
    """How long to time each call: for `seconds`, but MINIMUM_RUNS at least; or, if `repeats` is given, so many runs."""

    seconds: float = 2.0
    repeats: int | None = None

    def is_enough(self, runs: int, seconds: float) -> bool:
        """Whether `runs` that took `seconds` together will do."""
        if self.repeats is not None:
            return runs >= self.repeats
        return runs >= MINIMUM_RUNS and seconds >= self.seconds


def time_in_turns(calls: Sequence[TimedCall], pace: Pace, batch: int) -> list[Timing]:
    """The timing of each of `calls`, which take turns of about TURN_S until each has enough."""
    return [timing_of(seconds, batch) for seconds in seconds_in_turns(calls, pace)]


def seconds_in_turns(calls: Sequence[TimedCall], pace: Pace, turn_s: float = TURN_S) -> list[list[float]]:
    """The seconds of each counted run of each of `calls`; see `time_in_turns`."""
    tracks = [_Track(call, pace, turn_s) for call in calls]
    while any(not track.done for track in tracks):
        for track in tracks:
            track.take_turn()
    return [track.seconds for track in tracks]


def timing_of(seconds: Sequence[float], batch: int) -> Timing:
    """The percentiles of runs with `batch` images each.

    >>> timing_of([0.002, 0.001, 0.003], 4)
    Timing(batch=4, p50_ms=2.0, p90_ms=2.8, p95_ms=2.9, p99_ms=2.98, min_ms=1.0, images_per_s=2000.0, runs=3)
    """
    percentiles = np.percentile(np.asarray(seconds) * 1e3, (50, 90, 95, 99, 0))
    p50, p90, p95, p99, least = (round(float(value), 4) for value in percentiles)
    return Timing(batch, p50, p90, p95, p99, least, round(batch * len(seconds) / sum(seconds), 1), len(seconds))


@dataclass
class _Track:
    """One call and its counted times in seconds."""

    call: TimedCall
    pace: Pace
    turn_s: float
    seconds: list[float] = field(default_factory=list)
    total_s: float = 0.0

    @property
    def done(self) -> bool:
        return self.pace.is_enough(len(self.seconds), self.total_s)

    def take_turn(self) -> None:
        if self.done:
            return
        self._settle()
        ends = time.perf_counter() + self.turn_s
        # One at least, however short the turn.
        while not self.done:
            seconds = self.call(len(self.seconds))
            self.seconds.append(seconds)
            self.total_s += seconds
            if time.perf_counter() >= ends:
                return

    def _settle(self) -> None:
        ends = time.perf_counter() + SETTLING_S
        for run in range(SETTLING_CALLS):
            self.call(run)
            if time.perf_counter() > ends:
                return
