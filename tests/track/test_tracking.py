"""Each epoch stands in the record once, what holds no more goes, and a tracker that fails stops nothing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from hkd_edge.errors import MissingDependencyError, RecipeError
from hkd_edge.recipe import load_recipe
from hkd_edge.recipe.tracking import Tracking as Settings
from hkd_edge.track import tracking as tracking_module
from hkd_edge.track.events import ArtefactEvent, StageEvent
from hkd_edge.track.record import Record
from hkd_edge.track.registry import TRACKERS, make_trackers, require_packages
from hkd_edge.track.tracking import Tracking, open_tracking
from tests.track.conftest import Remembering, epochs_in, result, train
from tests.validations import drawn_validation

Opened: TypeAlias = Callable[..., tuple[Tracking, list[str]]]


def steps(tracker: Remembering, name: str = "student/loss") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in tracker.points if point.name == name]


def test_an_epoch_is_recorded_with_its_speed_and_told_as_points(record: Record, opened: Opened) -> None:
    tracker = Remembering()
    tracking, _ = opened(fake=tracker)
    tracking.stage_started("distill", "ab" * 32)
    train(tracking, result(0))
    event = record.events[-1]
    assert (event.key, event.epoch, event.epochs, event.images_per_s) == ("ab" * 8, 1, 9, 50.0)  # type: ignore[union-attr]
    assert {(point.name, point.step, point.value) for point in tracker.points} == {
        ("student/loss", 1, 0.5),
        ("student/accuracy/class", 1, 90.0),
        ("student/images_per_s", 1, 50.0),
    }


def test_a_resumed_training_that_tells_its_epochs_again_doubles_none(record: Record, opened: Opened) -> None:
    tracking, _ = opened()
    tracking.stage_started("distill", "k")
    train(tracking, result(0), result(1))
    resumed, _ = opened(fake=(tracker := Remembering()))
    resumed.stage_started("distill", "k")
    train(resumed, result(0), result(1), result(2, loss=0.25))
    assert epochs_in(record) == steps(tracker) == [(1, 0.5), (2, 0.5), (3, 0.25)]
    assert tracker.calls == ["begin", "log"]


def test_an_epoch_that_was_checkpointed_but_not_yet_recorded_is_made_up_for(record: Record, opened: Opened) -> None:
    tracking, _ = opened()
    tracking.stage_started("distill", "k")
    train(tracking, result(0))
    train(tracking, result(0), result(1), result(2))  # killed after the checkpoint of the second
    assert [number for number, _ in epochs_in(record)] == [1, 2, 3]


def test_a_training_that_starts_over_with_its_key_takes_the_place_of_the_first(record: Record, opened: Opened) -> None:
    tracking, _ = opened(fake=(tracker := Remembering()))
    tracking.stage_started("distill", "k")
    train(tracking, result(0), result(1), result(2))
    train(tracking, result(0), result(1, seconds=2.5))
    assert epochs_in(record) == steps(tracker) == [(1, 0.5), (2, 0.5)]
    assert tracker.calls[-2:] == ["begin", "log"]


def test_a_stage_with_another_key_discards_its_own_epochs_alone(record: Record, opened: Opened) -> None:
    tracking, _ = opened(fake=(tracker := Remembering()))
    tracking.stage_started("teach", "k")
    train(tracking, result(0), training="concept")
    tracking.stage_started("distill", "old")
    train(tracking, result(0))
    tracking.stage_started("distill", "new")
    assert (epochs_in(record, "concept"), epochs_in(record)) == ([(1, 0.5)], [])
    assert {point.name.partition("/")[0] for point in tracker.points} == {"concept"}


def test_trainings_of_one_stage_are_kept_apart(record: Record, opened: Opened) -> None:
    tracking, _ = opened()
    tracking.stage_started("teach", "k")
    train(tracking, result(0), result(1), training="concept")
    train(tracking, result(0, loss=0.75), training="task")
    assert epochs_in(record, "concept") == [(1, 0.5), (2, 0.5)]
    assert epochs_in(record, "task") == [(1, 0.75)]


def test_stages_are_told_with_their_end(record: Record, opened: Opened) -> None:
    tracking, _ = opened()
    tracking.stage_skipped("data", "k0")
    tracking.stage_started("teach", "k1")
    tracking.stage_done("teach", 1.5)
    told = [(event.stage, event.key, event.status, event.seconds) for event in record.events]  # type: ignore[union-attr]
    assert told == [("data", "k0", "skipped", None), ("teach", "k1", "started", None), ("teach", "k1", "done", 1.5)]


def test_artefacts_are_told_anew_by_each_validation(record: Record, opened: Opened) -> None:
    tracking, _ = opened(fake=(tracker := Remembering()))
    tracking.stage_started("validate", "k")
    validation, _arrays = drawn_validation()
    tracking.validated(drawn_validation(seed=1)[0])
    tracking.validated(validation)
    events = [event for event in record.events if isinstance(event, ArtefactEvent)]
    assert [(event.target, event.precision) for event in events] == [
        (row.target, row.precision) for row in validation.rows
    ]
    assert [event.top1 for event in events] == [row.test.top1 for row in validation.rows]
    openvino, tensorrt = events[2:]
    assert (openvino.p50_ms, tensorrt.p50_ms) == (validation.rows[2].timings[0].p50_ms, None)
    assert steps(tracker, "artefact_p50_ms/openvino-int8") == [(0, openvino.p50_ms)]
    assert not steps(tracker, "artefact_p50_ms/tensorrt-int8")
    assert {point.name for point in tracker.points} >= {
        "artefact_top1/tensorrt-int8",
        "artefact_size_bytes/tensorrt-int8",
    }


@pytest.mark.parametrize("fails_at", [2, 3, 4])
def test_a_tracker_that_fails_is_one_warning_and_the_others_go_on(
    record: Record, opened: Opened, fails_at: int
) -> None:
    failing, sound = Remembering(fails_at), Remembering()
    tracking, warnings = opened(failing=failing, sound=sound)
    tracking.stage_started("distill", "k")
    train(tracking, result(0), result(1), result(2))
    tracking.close("finished")
    assert warnings == [
        "failing has failed and is told nothing more by this run: no route to host. metrics.jsonl goes on; "
        "--resume gives it what it lacks."
    ]
    assert len(failing.calls) == fails_at
    assert sound.calls == ["begin", "log", "log", "log", "finished"]
    assert len(epochs_in(record)) == 3


def test_a_tracker_that_fails_when_it_begins_anew_stops_nothing_either(record: Record, opened: Opened) -> None:
    tracking, warnings = opened(failing=Remembering(3))
    tracking.stage_started("distill", "old")
    train(tracking, result(0))
    tracking.stage_started("distill", "new")
    train(tracking, result(0))
    assert (len(warnings), len(epochs_in(record))) == (1, 1)


def test_a_tracker_that_fails_from_the_start_refuses_the_run(opened: Opened) -> None:
    told = r"recipe\.tracking\.fake: expected a place that takes metrics, got: no route to host\. Correct or remove"
    with pytest.raises(RecipeError, match=told):
        opened(fake=Remembering(1))


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "finished"), (KeyboardInterrupt, "killed"), (RecipeError, "failed")]
)
def test_trackers_are_told_how_the_run_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None, outcome: str
) -> None:
    tracker = Remembering()
    monkeypatch.setattr(tracking_module, "make_trackers", lambda recipe, run: {"fake": tracker})
    try:
        with open_tracking(load_recipe("digits"), tmp_path, pytest.fail) as tracking:
            tracking.stage_skipped("data", "k")
            if error:
                raise error("stopped")
    except (KeyboardInterrupt, RecipeError):
        pass
    assert tracker.calls == ["begin", outcome]


def test_by_default_there_is_no_tracker(tmp_path: Path) -> None:
    assert make_trackers(load_recipe("digits"), tmp_path) == {}


@pytest.mark.parametrize("name", TRACKERS)
def test_every_tracker_of_the_registry_is_a_key_of_the_recipe(name: str) -> None:
    assert name in Settings.model_fields


@pytest.mark.parametrize(
    ("settings", "packages", "told"),
    [
        (Settings(tensorboard=True), ("tensorboard",), "recipe.tracking.tensorboard: expected tensorboard to be"),
        (Settings(mlflow="http://h"), ("mlflow",), "recipe.tracking.mlflow: expected mlflow to be installed, got none"),
        (Settings(mlflow="sqlite:///m.db"), ("sqlalchemy", "alembic"), "mlflow: expected sqlalchemy and alembic to be"),
    ],
)
def test_a_missing_package_is_named_with_its_pip_command(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, packages: tuple[str, ...], told: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in packages else find(name))
    with pytest.raises(MissingDependencyError, match=told) as caught:
        require_packages(settings)
    extra = "tensorboard" if settings.tensorboard else "mlflow"
    assert f"pip install 'hkd-edge[{extra}]'" in str(caught.value)


def test_what_is_installed_or_not_asked_for_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    require_packages(Settings())


def test_stage_events_hold_no_points(opened: Opened) -> None:
    tracking, _ = opened(fake=(tracker := Remembering()))
    tracking.stage_started("teach", "k")
    tracking.stage_done("teach", 1.0)
    assert tracker.calls == ["begin"]


def test_the_record_keeps_the_story_of_stages_that_were_run_again(record: Record, opened: Opened) -> None:
    tracking, _ = opened()
    tracking.stage_started("teach", "old")
    tracking.stage_started("teach", "new")
    assert [event.key for event in record.events if isinstance(event, StageEvent)] == ["old", "new"]
