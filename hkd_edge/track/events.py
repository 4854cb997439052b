"""What a run tells while it goes on, as the lines of `metrics.jsonl`, and the points of curves that these make.

`time` is when the line was written, ISO 8601 in UTC. `key` is the beginning of the stage's key: lines of one stage with
one key belong to one result. Accuracies and agreements are in percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias

from hkd_edge.evaluate.result import Row

KEY_DIGITS = 16


@dataclass(frozen=True)
class StageEvent:
    """A stage begins its work, has ended after `seconds`, or was done already."""

    time: str
    stage: str
    key: str
    status: Literal["started", "done", "skipped"]
    seconds: float | None = None


@dataclass(frozen=True)
class EpochEvent:
    """The end of an epoch.

    Attributes:
        training: concept, task, student or fine_tuned; the first two are teachers.
        epoch: from 1 to `epochs`.
        loss: mean training loss.
        accuracies: by name, on the validation images.
        seconds: of the epoch with its validation.
        images_per_s: training images by these seconds; None if unknown.
    """

    time: str
    stage: str
    key: str
    training: str
    epoch: int
    epochs: int
    loss: float
    accuracies: Mapping[str, float]
    seconds: float
    images_per_s: float | None = None


@dataclass(frozen=True)
class ArtefactEvent:
    """What validation measured of one artefact on the test images.

    Attributes:
        top1_drop: points lost against the reference; likewise `agreement` with it.
        concept_mean: mean accuracy over the axes; None without axes.
        calibration_error: in points, of the artefact's own scores.
        p50_ms: of one image; likewise the other percentiles; None if it cannot run here.
    """

    time: str
    stage: str
    key: str
    target: str
    precision: str
    images: int
    top1: float
    top1_drop: float
    agreement: float
    calibration_error: float
    size_bytes: int
    shipped: bool
    concept_mean: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None


Event: TypeAlias = StageEvent | EpochEvent | ArtefactEvent
EVENTS: Mapping[str, type[Event]] = {"stage": StageEvent, "epoch": EpochEvent, "artefact": ArtefactEvent}
_FIGURES = (
    *("top1", "top1_drop", "concept_mean", "agreement", "calibration_error"),
    *("p50_ms", "p90_ms", "p99_ms", "size_bytes"),
)


@dataclass(frozen=True)
class Point:
    """One point of a curve: `step` is the epoch, or 0 for what is measured once; `unix_s` is its time."""

    name: str
    step: int
    value: float
    unix_s: float


def now() -> str:
    """The time in UTC, to milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def artefact_event(row: Row, stage: str, key: str) -> ArtefactEvent:
    """What is told of a validated artefact."""
    latency = row.latency
    return ArtefactEvent(
        *(now(), stage, key, row.target, row.precision, row.test.images, row.test.top1),
        top1_drop=row.test_difference.top1_drop,
        agreement=row.test_difference.agreement,
        calibration_error=row.test.calibration_error,
        size_bytes=row.size_bytes,
        shipped=row.shipped,
        concept_mean=row.test.concept_mean,
        p50_ms=latency.p50_ms if latency else None,
        p90_ms=latency.p90_ms if latency else None,
        p99_ms=latency.p99_ms if latency else None,
    )


def points(events: Iterable[Event]) -> list[Point]:
    """The points of all curves, in the order of `events`; stages make none."""
    return [
        Point(name, event.epoch if isinstance(event, EpochEvent) else 0, value, _unix_s(event.time))
        for event in events
        for name, value in _values(event).items()
    ]


def _values(event: Event) -> dict[str, float]:
    if isinstance(event, EpochEvent):
        accuracies = {f"accuracy/{name}": value for name, value in event.accuracies.items()}
        speed = {} if event.images_per_s is None else {"images_per_s": event.images_per_s}
        return {
            f"{event.training}/{name}": value for name, value in ({"loss": event.loss} | accuracies | speed).items()
        }
    if isinstance(event, ArtefactEvent):
        figures: dict[str, Any] = {name: getattr(event, name) for name in _FIGURES}
        title = f"{event.target}-{event.precision}"
        return {f"artefact_{name}/{title}": float(value) for name, value in figures.items() if value is not None}
    return {}


def _unix_s(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
