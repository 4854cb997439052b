"""What MLflow stores is read back by its own client, from its file and SQLite stores and over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlflow", reason="hkd-edge[mlflow] is not installed")

from hkd_edge.errors import RecipeError
from hkd_edge.recipe import Recipe, load_recipe
from hkd_edge.track.events import Point
from hkd_edge.track.mlflow import RUN_FILE, MlflowTracker, parameters
from hkd_edge.track.tracking import open_tracking
from tests.track.conftest import result

# SQLAlchemy 2.1 warns of what MLflow 3.17 does.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
LOSSES = [Point("student/loss", step, 0.1 * step, 1_700_000_000.25 + step) for step in (1, 2, 3)]


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """The tracker sets variables for its process; tests of other things must not see them."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run 1").mkdir()
    return tmp_path / "run 1"


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file:{tmp_path / 'mlruns'}"


def recipe(uri: str, *overrides: str) -> Recipe:
    return load_recipe("digits", (f"tracking.mlflow={json.dumps(uri)}", *overrides))


def write(run: Path, recipe: Recipe, *told: list[Point]) -> str:
    """The id of the MLflow run that has been begun with the first of `told` and given the others."""
    tracker = MlflowTracker(recipe, run)
    tracker.begin(told[0])
    for points in told[1:]:
        tracker.log(points)
    tracker.close("finished")
    return json.loads((run / RUN_FILE).read_text())["run_id"]


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def curve(uri: str, run_id: str, name: str = "student/loss") -> list[tuple[int, float, int]]:
    return [(each.step, each.value, each.timestamp) for each in client(uri).get_metric_history(run_id, name)]


@pytest.mark.parametrize(
    "store", ["file:{}/mlruns", pytest.param("sqlite:///{}/mlflow.db", marks=pytest.mark.slow)], ids=["file", "sqlite"]
)
def test_metrics_parameters_and_versions_are_read_back(tmp_path: Path, run: Path, store: str) -> None:
    uri = store.format(tmp_path)
    if uri.startswith("sqlite"):
        pytest.importorskip("sqlalchemy", reason="hkd-edge[mlflow] is not installed whole")
    run_id = write(run, recipe(uri), LOSSES[:1], LOSSES[1:])
    found = client(uri).get_run(run_id)
    assert curve(uri, run_id) == [(point.step, point.value, round(point.unix_s * 1000)) for point in LOSSES]
    assert found.data.params == parameters(recipe(uri))
    assert found.data.params["teacher.training.epochs"] == "6"
    assert found.data.tags["version.python"] == ".".join(map(str, sys.version_info[:3]))
    assert (found.info.run_name, found.info.status) == ("run 1", "FINISHED")
    assert client(uri).get_experiment(found.info.experiment_id).name == "digits"


def test_nothing_is_stored_of_user_host_and_paths(run: Path, uri: str, tmp_path: Path) -> None:
    secret = recipe(uri, f"data.root={tmp_path / 'mine'}")
    run_id = write(run, secret, LOSSES)
    found = client(uri).get_run(run_id)
    assert {name.partition(".")[0] for name in found.data.tags} == {"version", "mlflow"}
    assert [name for name in found.data.tags if name.startswith("mlflow.")] == ["mlflow.runName"]
    assert found.info.user_id == "unknown"
    assert str(tmp_path) not in repr((found.data.params, found.data.tags))


def test_the_experiment_can_be_named_and_shared(run: Path, uri: str, tmp_path: Path) -> None:
    named = recipe(uri, "tracking.experiment=sweep")
    (tmp_path / "run 2").mkdir()
    ids = {write(folder, named, LOSSES) for folder in (run, tmp_path / "run 2")}
    experiment = client(uri).get_experiment_by_name("sweep")
    assert {each.info.run_id for each in client(uri).search_runs([experiment.experiment_id])} == ids
    assert len(ids) == 2


def test_a_resumed_run_goes_on_in_the_same_mlflow_run_and_gets_only_what_it_lacks(run: Path, uri: str) -> None:
    killed = MlflowTracker(recipe(uri), run)
    killed.begin([])
    killed.log(LOSSES[:1])  # and the second was lost with the server
    run_id = write(run, recipe(uri), LOSSES[:2], LOSSES[2:])
    assert [step for step, _, _ in curve(uri, run_id)] == [1, 2, 3]
    experiment = client(uri).get_experiment_by_name("digits")
    assert len(client(uri).search_runs([experiment.experiment_id])) == 1


def test_what_holds_no_more_starts_a_new_mlflow_run(run: Path, uri: str) -> None:
    tracker = MlflowTracker(recipe(uri), run)
    tracker.begin(LOSSES)
    old = json.loads((run / RUN_FILE).read_text())["run_id"]
    tracker.begin(LOSSES[:1])
    new = json.loads((run / RUN_FILE).read_text())["run_id"]
    assert (len(curve(uri, old)), len(curve(uri, new))) == (3, 1)
    assert [client(uri).get_run(each).info.status for each in (old, new)] == ["KILLED", "RUNNING"]


@pytest.mark.parametrize("change", ["seed=1", "tracking.experiment=other"])
def test_another_recipe_or_experiment_starts_a_new_mlflow_run(run: Path, uri: str, change: str) -> None:
    assert write(run, recipe(uri), LOSSES) != write(run, recipe(uri, change), LOSSES)


def test_an_mlflow_run_that_was_deleted_is_begun_anew(run: Path, uri: str) -> None:
    old = write(run, recipe(uri), LOSSES)
    client(uri).delete_run(old)
    assert write(run, recipe(uri), LOSSES) != old


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"run_id": "abc"}'])
def test_a_damaged_note_of_the_run_id_starts_a_new_mlflow_run(run: Path, uri: str, kept: str) -> None:
    (run / RUN_FILE).write_text(kept)
    assert len(curve(uri, write(run, recipe(uri), LOSSES))) == 3


def test_names_that_mlflow_refuses_are_written_with_underscores(run: Path, uri: str) -> None:
    run_id = write(run, recipe(uri), [Point("concept/accuracy/größe (cm) & colour", 1, 50.0, 1.7e9)])
    assert curve(uri, run_id, "concept/accuracy/größe _cm_ _ colour")


def test_parameters_are_the_recipe_by_dotted_keys() -> None:
    found = parameters(recipe("file:x"))
    assert found["student.architecture.widths"] == "[16, 32]"
    assert found["task_teacher"] == "null"
    assert found["validate.max_top1_drop"] == "1.0"
    assert not [name for name in found if name.startswith("tracking") or name == "data.root"]


@pytest.mark.parametrize("place", ["nonsense://{}", "file:{}/file/mlruns"])
def test_a_store_that_cannot_be_used_refuses_the_run(run: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    uri = place.format(tmp_path)
    told = r"recipe\.tracking\.mlflow: expected a place that takes metrics, got: .*Correct or remove tracking\.mlflow"
    with pytest.raises(RecipeError, match=told), open_tracking(recipe(uri), run, pytest.fail):
        pass


class Server(BaseHTTPRequestHandler):
    """As much of MLflow's REST interface as a run's beginning and its metrics need."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "/runs/get?" in self.path:
            self._answer(200, {"run": {"info": {"run_id": "a" * 32, "experiment_id": "7", "run_name": "run 1"}}})
            return
        self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = self.path.partition("/mlflow/")[2]
        self.server.calls.append((call, body))  # type: ignore[attr-defined]
        answers: dict[str, Any] = {
            "experiments/create": {"experiment_id": "7"},
            "runs/create": {"run": {"info": {"run_id": "a" * 32}}},
            "runs/update": {"run_info": {"run_id": "a" * 32}},
        }
        self._answer(200, answers.get(call, {}))

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.calls = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_server_that_goes_away_is_one_warning_and_the_record_stays_whole(
    server: ThreadingHTTPServer, run: Path
) -> None:
    uri, warnings = f"http://127.0.0.1:{server.server_port}", list[str]()
    with open_tracking(recipe(uri), run, warnings.append) as tracking:
        tracking.stage_started("distill", "k")
        tracking.epoch("student", result(0), 3, 100)
        server.shutdown()
        server.socket.close()
        tracking.epoch("student", result(1), 3, 100)
        tracking.epoch("student", result(2), 3, 100)
    logged = [body["metrics"] for call, body in server.calls if call == "runs/log-batch" and "metrics" in body]  # type: ignore[attr-defined]
    assert {metric["key"]: metric["value"] for metric in logged[0]}["student/loss"] == 0.5
    assert len(logged) == 1
    assert len(warnings) == 1
    assert warnings[0].startswith("mlflow has failed and is told nothing more by this run: API request to http://127")
    assert (run / "metrics.jsonl").read_text().count('"event": "epoch"') == 3


def test_mlflow_prints_nothing_when_a_run_ends(
    server: ThreadingHTTPServer, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_tracking(recipe(f"http://127.0.0.1:{server.server_port}"), run, pytest.fail):
        pass
    assert server.calls[-1][0] == "runs/update"  # type: ignore[attr-defined]
    assert capsys.readouterr().out == ""


def test_a_server_that_was_never_there_refuses_the_run(run: Path, server: ThreadingHTTPServer) -> None:
    server.shutdown()
    server.socket.close()
    uri = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(RecipeError, match="tracking.mlflow"), open_tracking(recipe(uri), run, pytest.fail):
        pass


_REPORTER = """
import os, socket
from pathlib import Path
def refuse(self, address):
    raise OSError(f"no network in this test: {address}")
socket.socket.connect = refuse

from hkd_edge.recipe import load_recipe
from hkd_edge.track.mlflow import MlflowTracker
MlflowTracker(load_recipe("digits", ["tracking.mlflow=file:mlruns"]), Path()).begin([])

from mlflow.telemetry.client import get_telemetry_client, set_telemetry_client
print(type(get_telemetry_client()).__name__)
del os.environ["MLFLOW_DISABLE_TELEMETRY"]  # what would be there without the switch, or this test could not fail
set_telemetry_client()
print(type(get_telemetry_client()).__name__, flush=True)
os._exit(0)  # without that client's farewell
"""


def test_mlflows_own_reports_are_off(tmp_path: Path) -> None:
    # Without the variables by which MLflow knows tests and CI, where it is silent anyway.
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", _REPORTER]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout.split() == ["NoneType", "TelemetryClient"], ended.stderr
