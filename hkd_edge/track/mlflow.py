"""Metrics in MLflow, by its client alone: `mlflow.start_run` would add the user, paths of the host and the git commit.

An MLflow run can neither lose a metric nor change a parameter. So it is gone on with as long as what it holds still
holds; otherwise a new MLflow run takes its place, with all that holds.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hkd_edge.recipe import Recipe
from hkd_edge.track.events import Point
from hkd_edge.track.registry import Outcome
from hkd_edge_runtime import __version__
from hkd_edge_runtime.files import write_json_atomically

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_FILE = "mlflow.json"
_PACKAGES = ("torch", "numpy", "onnx", "nncf", "onnxruntime", "openvino")
_STATUS: Mapping[Outcome, str] = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
_FOREIGN_CHARACTERS = re.compile(r"[^/\w.\- ]")  # in names of metrics
_METRICS_PER_CALL = 1000  # MLflow's limits
_PARAMETERS_PER_CALL = 100
_LONGEST_PARAMETER = 6000
# MLflow's own are 7 retries and 120 s: minutes in which the training would wait for a server that is gone.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

_Stored: TypeAlias = tuple[str, int, float]  # name, step, value


class MlflowTracker:
    """Writes into one MLflow run, whose id the run directory keeps in mlflow.json."""

    def __init__(self, recipe: Recipe, run: Path) -> None:
        self._uri = recipe.tracking.mlflow
        self._experiment = recipe.tracking.experiment or recipe.name
        self._parameters = parameters(recipe)
        self._run = run
        self._run_id = ""
        self._client: MlflowClient | None = None

    def begin(self, points: Sequence[Point]) -> None:
        """Goes on with the MLflow run of the run directory, or begins one, and gives it what it lacks of `points`."""
        self._client = self._client or _client(self._uri)
        run_id, stored = self._earlier({_stored(point) for point in points})
        if run_id:
            self._client.update_run(run_id, status="RUNNING")
        else:
            self._leave()
            run_id = self._create()
        self._run_id = run_id
        self.log([point for point in points if _stored(point) not in stored])

    def log(self, points: Sequence[Point]) -> None:
        """Adds `points`."""
        from mlflow.entities import Metric

        metrics = [Metric(_name(each), each.value, round(each.unix_s * 1e3), each.step) for each in points]
        for start in range(0, len(metrics), _METRICS_PER_CALL):
            self._opened.log_batch(self._run_id, metrics=metrics[start : start + _METRICS_PER_CALL])

    def close(self, outcome: Outcome) -> None:
        """Gives the MLflow run its status."""
        self._opened.set_terminated(self._run_id, _STATUS[outcome])

    @property
    def _opened(self) -> MlflowClient:
        assert self._client is not None, "begin() comes first"
        return self._client

    def _earlier(self, holds: set[_Stored]) -> tuple[str, set[_Stored]]:
        """The id of the MLflow run to go on with and what it holds; no id if there is none that only has `holds`."""
        run_id = self._known_id()
        found = _find_run(self._opened, run_id) if run_id else None
        if found is None or found.data.params != self._parameters:
            return "", set()
        stored = {
            (metric.key, metric.step, metric.value)
            for name in found.data.metrics
            for metric in self._opened.get_metric_history(run_id, name)
        }
        return (run_id, stored) if stored <= holds else ("", set())

    def _known_id(self) -> str:
        try:
            known = json.loads((self._run / RUN_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        run_id = known.get("run_id") if isinstance(known, dict) else None
        return run_id if isinstance(run_id, str) and known == self._place | {"run_id": run_id} else ""

    @property
    def _place(self) -> dict[str, str]:
        return {"tracking_uri": self._uri, "experiment": self._experiment}

    def _create(self) -> str:
        from mlflow.entities import Param

        client = self._opened
        experiment = client.get_experiment_by_name(self._experiment)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(self._experiment)
        run_id: str = client.create_run(experiment_id, run_name=self._run.resolve().name, tags=_versions()).info.run_id
        values = [Param(name, value) for name, value in self._parameters.items()]
        for start in range(0, len(values), _PARAMETERS_PER_CALL):
            client.log_batch(run_id, params=values[start : start + _PARAMETERS_PER_CALL])
        # Last, so that a run without its parameters is never gone on with.
        write_json_atomically(self._run / RUN_FILE, self._place | {"run_id": run_id})
        return run_id

    def _leave(self) -> None:
        if self._run_id:
            self._opened.set_terminated(self._run_id, _STATUS["killed"])


def parameters(recipe: Recipe) -> dict[str, str]:
    """The resolved recipe by dotted keys, without `tracking` and the folder of the data; what is no text is JSON."""
    values = recipe.model_dump(mode="json", by_alias=True, exclude={"tracking": True, "data": {"root"}})
    return {key: value[:_LONGEST_PARAMETER] for key, value in _flat(values, "")}


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)


def _client(uri: str) -> MlflowClient:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported, which would start its reporter
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # stdout is for what hkd-edge prints
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    if "://" not in uri or uri.startswith("file:"):
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # MLflow advises against folders; the user has named one
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _find_run(client: MlflowClient, run_id: str) -> Any:
    """The MLflow run of that id; None if it is gone."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return found if found.info.lifecycle_stage == "active" else None


def _stored(point: Point) -> _Stored:
    return _name(point), point.step, point.value


def _name(point: Point) -> str:
    return _FOREIGN_CHARACTERS.sub("_", point.name)


def _versions() -> dict[str, str]:
    packages = {f"version.{name}": importlib.metadata.version(name) for name in _PACKAGES}
    return {"version.hkd-edge": __version__, "version.python": platform.python_version(), **packages}
