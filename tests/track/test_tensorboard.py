"""Event files are read back by TensorBoard's own reader."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

pytest.importorskip("tensorboard", reason="hkd-edge[tensorboard] is not installed")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hkd_edge.recipe import load_recipe
from hkd_edge.track.events import Point
from hkd_edge.track.tensorboard import FOLDER, TensorBoardTracker

LOSSES = [Point("student/loss", step, 1 / step, 1_700_000_000.25 + step) for step in (1, 2, 3)]


def tracker(run: Path) -> TensorBoardTracker:
    return TensorBoardTracker(load_recipe("digits"), run)


def read(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run / FOLDER)).Reload()


def curve(reader: EventAccumulator, name: str = "student/loss") -> list[tuple[int, float]]:
    return [(scalar.step, scalar.value) for scalar in reader.Scalars(name)]


def test_points_are_read_back_with_their_steps_and_times(tmp_path: Path) -> None:
    writing = tracker(tmp_path)
    writing.begin(LOSSES[:1])
    writing.log(LOSSES[1:])
    writing.close("finished")
    scalars = read(tmp_path).Scalars("student/loss")
    assert [(each.step, each.value) for each in scalars] == [(p.step, pytest.approx(p.value)) for p in LOSSES]
    assert [each.wall_time for each in scalars] == [point.unix_s for point in LOSSES]


def test_points_can_be_read_as_soon_as_they_are_logged(tmp_path: Path) -> None:
    writing = tracker(tmp_path)
    writing.begin([])
    writing.log(LOSSES[:2])
    assert curve(read(tmp_path)) == [(1, 1.0), (2, 0.5)]
    writing.close("finished")


def test_a_resumed_run_goes_on_in_the_same_curves_without_doubled_steps(tmp_path: Path) -> None:
    killed = tracker(tmp_path)
    killed.begin(LOSSES[:2])  # and never closed
    resumed = tracker(tmp_path)
    resumed.begin(LOSSES[:2])
    resumed.log(LOSSES[2:])
    resumed.close("finished")
    assert [step for step, _ in curve(read(tmp_path))] == [1, 2, 3]


def test_points_that_hold_no_more_are_gone(tmp_path: Path) -> None:
    writing = tracker(tmp_path)
    writing.begin(LOSSES)
    writing.begin([Point("concept/loss", 1, 2.0, 1_700_000_000.0)])
    writing.close("finished")
    assert read(tmp_path).Tags()["scalars"] == ["concept/loss"]


def test_a_tensorboard_that_is_open_meanwhile_forgets_what_holds_no_more(tmp_path: Path) -> None:
    writing = tracker(tmp_path)
    writing.begin(LOSSES)
    watching = read(tmp_path)
    assert [step for step, _ in curve(watching)] == [1, 2, 3]
    time.sleep(1)  # TensorBoard takes files by their names, which hold seconds
    writing.begin([Point("student/loss", 1, 0.25, 1_700_000_009.0)])
    assert curve(watching.Reload()) == [(1, 0.25)]
    writing.close("finished")
