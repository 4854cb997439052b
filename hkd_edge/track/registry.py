"""The trackers that a recipe can ask for, by the key of its section `tracking`; each is imported on use."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from hkd_edge.errors import MissingDependencyError
from hkd_edge.recipe import Recipe
from hkd_edge.recipe.tracking import Tracking
from hkd_edge.track.events import Point

Outcome: TypeAlias = Literal["finished", "failed", "killed"]


class Tracker(Protocol):
    """Shows the points of a run somewhere else; it may fail at any time, and the run goes on."""

    def begin(self, points: Sequence[Point]) -> None:
        """Holds `points` from now on and no others; called first, and again when some hold no more.

        Points that it has from an earlier process of the same run are not doubled.
        """

    def log(self, points: Sequence[Point]) -> None:
        """Adds `points`, to be seen at once."""

    def close(self, outcome: Outcome) -> None:
        """The run has ended so."""


TRACKERS = {
    "tensorboard": "hkd_edge.track.tensorboard:TensorBoardTracker",
    "mlflow": "hkd_edge.track.mlflow:MlflowTracker",
}
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def require_packages(settings: Tracking) -> None:
    """Refuses a recipe whose trackers are not installed.

    Raises:
        MissingDependencyError: with the pip command.
    """
    for name in _wanted(settings):
        missing = [package for package in _packages(name, settings) if importlib.util.find_spec(package) is None]
        if missing:
            raise MissingDependencyError(
                f"recipe.tracking.{name}: expected {' and '.join(missing)} to be installed, got none. "
                f"Run: pip install 'hkd-edge[{name}]', or leave {name} out."
            )


def make_trackers(recipe: Recipe, run: Path) -> dict[str, Tracker]:
    """The trackers that `recipe` asks for, for the run directory `run`."""
    return {name: _factory(name)(recipe, run) for name in _wanted(recipe.tracking)}


def _wanted(settings: Tracking) -> Iterator[str]:
    return (name for name in TRACKERS if getattr(settings, name))


def _packages(name: str, settings: Tracking) -> tuple[str, ...]:
    if name == "mlflow" and settings.mlflow.startswith(_DATABASES):
        return ("mlflow", "sqlalchemy", "alembic")
    return (name,)


def _factory(name: str) -> Callable[[Recipe, Path], Tracker]:
    module, _, attribute = TRACKERS[name].partition(":")
    factory: Callable[[Recipe, Path], Tracker] = getattr(importlib.import_module(module), attribute)
    return factory
