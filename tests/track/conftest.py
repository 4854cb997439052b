"""What tests of tracking share: a run directory's record, epochs, and a tracker that only remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hkd_edge.track.events import EpochEvent, Point
from hkd_edge.track.record import METRICS_FILE, Record
from hkd_edge.track.registry import Outcome
from hkd_edge.track.tracking import Tracking
from hkd_edge.train.loop import EpochResult


class Remembering:
    """A tracker that keeps what it was told; raises OSError from the call number `fails_at` (1, 2, ...) on."""

    def __init__(self, fails_at: int = 0) -> None:
        self.calls: list[str] = []
        self.points: list[Point] = []
        self._fails_at = fails_at

    def begin(self, points: Sequence[Point]) -> None:
        self._called("begin")
        self.points = list(points)

    def log(self, points: Sequence[Point]) -> None:
        self._called("log")
        self.points += points

    def close(self, outcome: Outcome) -> None:
        self._called(outcome)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if 0 < self._fails_at <= len(self.calls):
            raise OSError("no route to host\nand a page of details")


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    record = Record(tmp_path / METRICS_FILE)
    yield record
    record.close()


@pytest.fixture
def opened(record: Record) -> Callable[..., tuple[Tracking, list[str]]]:
    """Makes a tracking of the record with the trackers given, and the list of its warnings."""

    def make(**trackers: Remembering) -> tuple[Tracking, list[str]]:
        warnings: list[str] = []
        tracking = Tracking(record, {**trackers}, warnings.append)
        tracking.begin()
        return tracking, warnings

    return make


def result(epoch: int, loss: float = 0.5, seconds: float = 2.0) -> EpochResult:
    """The end of `epoch` (0, 1, ...)."""
    return EpochResult(epoch, loss, {"class": 90.0 + epoch}, seconds)


def train(tracking: Tracking, *results: EpochResult, training: str = "student", epochs: int = 9) -> None:
    """Tells `tracking` of these epochs over 100 images."""
    for each in results:
        tracking.epoch(training, each, epochs, 100)


def epochs_in(record: Record, training: str = "student") -> list[tuple[int, float]]:
    """Number and loss of each epoch of `training`, as they stand in the record."""
    events = [event for event in record.events if isinstance(event, EpochEvent)]
    return [(event.epoch, event.loss) for event in events if event.training == training]
