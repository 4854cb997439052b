"""A real run on digits: killed and resumed, with the trackers on, off, and missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from hkd_edge.errors import MissingDependencyError, RecipeError
from hkd_edge.pipeline import run_pipeline
from hkd_edge.recipe import load_recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.track.events import EpochEvent, StageEvent
from hkd_edge.track.record import METRICS_FILE, read_events
from hkd_edge.train.loop import EpochResult

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = "teacher.training.epochs=6"


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """MLflow's tracker sets variables for its process; tests of other things must not see them."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def teach(run: Path, *overrides: str, **how: bool) -> None:
    """Runs `hkd-edge teach digits -o RUN --set ...` in this process."""
    run_pipeline(load_recipe("digits", (EPOCHS, *overrides)), run, Reporter(Console(quiet=True)), until="teach", **how)


def kill_after(count: int, run: Path, *overrides: str) -> None:
    """Starts that command in a process of its own and kills it when `count` epochs are recorded."""
    words = [word for override in (EPOCHS, *overrides) for word in ("--set", override)]
    command = [sys.executable, "-c", "from hkd_edge.cli import main; main()", "teach", "digits", "-o", str(run), *words]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while len(epochs(run)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def epochs(run: Path) -> list[EpochEvent]:
    return [event for event in read_events(run / METRICS_FILE) if isinstance(event, EpochEvent)]


def told(run: Path) -> list[tuple[str, str]]:
    return [(e.stage, e.status) for e in read_events(run / METRICS_FILE) if isinstance(e, StageEvent)]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without interruption and trackers; tests must not change it."""
    run = tmp_path_factory.mktemp("runs") / "taught"
    teach(run)
    return run


def test_the_record_has_what_the_stage_found(taught: Path) -> None:
    found = json.loads((taught / "teacher" / "metrics.json").read_text())["concept"]["epochs"]
    assert [
        {"epoch": e.epoch - 1, "loss": e.loss, "accuracies": e.accuracies, "seconds": e.seconds} for e in epochs(taught)
    ] == found
    first = epochs(taught)[0]
    assert (first.stage, first.training, first.epochs) == ("teach", "concept", 6)
    assert first.images_per_s == pytest.approx(1024 / first.seconds, rel=1e-3)  # 16 batches of 64 of 1,078 images
    assert told(taught) == [
        (stage, status) for stage in ("data", "concepts", "teach") for status in ("started", "done")
    ]
    assert not (taught / "tensorboard").exists()


class Stopping(Reporter):
    """Stops the run as Ctrl-C does, after the second epoch."""

    def epoch(
        self, stage: str, name: str, title: str, images: int, result: EpochResult, epochs: int, left_s: float
    ) -> None:
        super().epoch(stage, name, title, images, result, epochs, left_s)
        if result.epoch == 1:
            raise KeyboardInterrupt


def test_a_stopped_and_resumed_run_has_each_epoch_once(tmp_path: Path, taught: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(load_recipe("digits", [EPOCHS]), run, Stopping(Console(quiet=True)), until="teach")
    before = epochs(run)
    assert [event.epoch for event in before] == [1, 2]
    teach(run, resume=True)
    assert [(event.epoch, event.loss) for event in epochs(run)] == [
        (event.epoch, event.loss) for event in epochs(taught)
    ]
    assert epochs(run)[:2] == before  # with their times, so they are the same lines


@pytest.mark.slow
def test_trackers_of_a_killed_and_resumed_run_have_each_epoch_once(tmp_path: Path, taught: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="hkd-edge[tensorboard] is not installed"
    )
    pytest.importorskip("mlflow", reason="hkd-edge[mlflow] is not installed")
    run, uri = tmp_path / "run", f"file:{tmp_path / 'mlruns'}"
    trackers = ("tracking.tensorboard=true", f"tracking.mlflow={uri}")
    kill_after(2, run, *trackers)
    teach(run, *trackers, resume=True)
    losses = [(event.epoch, event.loss) for event in epochs(run)]
    assert losses == [(event.epoch, event.loss) for event in epochs(taught)]
    curve = accumulator.EventAccumulator(str(run / "tensorboard")).Reload().Scalars("concept/loss")
    assert [(each.step, each.value) for each in curve] == [(step, pytest.approx(loss)) for step, loss in losses]

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    (found,) = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    history = client.get_metric_history(found.info.run_id, "concept/loss")
    assert [(each.step, each.value) for each in history] == losses
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")


def test_trackers_that_are_switched_on_later_get_all_and_no_stage_runs_again(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="hkd-edge[tensorboard] is not installed"
    )
    run = tmp_path / "run"
    teach(run, "teacher.training.epochs=2")
    teach(run, "teacher.training.epochs=2", "tracking.tensorboard=true", resume=True)
    assert told(run)[-3:] == [(stage, "skipped") for stage in ("data", "concepts", "teach")]
    curve = accumulator.EventAccumulator(str(run / "tensorboard")).Reload().Scalars("concept/loss")
    assert [each.step for each in curve] == [1, 2]


def test_a_changed_training_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    run = tmp_path / "run"
    teach(run, "teacher.training.epochs=3")
    teach(run, "teacher.training.epochs=2", resume=True)
    assert [(event.epoch, event.epochs) for event in epochs(run)] == [(1, 2), (2, 2)]


def test_overwrite_removes_the_record_and_the_curves(tmp_path: Path) -> None:
    run = tmp_path / "run"
    teach(run, "teacher.training.epochs=1")
    (run / "tensorboard").mkdir()
    (run / "mlflow.json").touch()
    teach(run, "teacher.training.epochs=1", overwrite=True)
    assert len(epochs(run)) == 1
    assert ("data", "skipped") not in told(run)
    assert not (run / "tensorboard").exists()
    assert not (run / "mlflow.json").exists()


def test_a_missing_package_is_told_before_anything_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    teach(run, "teacher.training.epochs=1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"Run: pip install 'hkd-edge\[tensorboard\]'"):
        teach(run, "tracking.tensorboard=true", overwrite=True)
    assert len(epochs(run)) == 1


def test_a_password_in_the_uri_is_refused_and_not_repeated() -> None:
    with pytest.raises(RecipeError, match=r"recipe\.tracking\.mlflow: expected a URI without a password") as caught:
        load_recipe("digits", ["tracking.mlflow=https://me:secret@host"])
    assert "MLFLOW_TRACKING_PASSWORD" in str(caught.value)
    assert "secret" not in str(caught.value).partition(": recipe.")[2]  # before that is what the user typed
