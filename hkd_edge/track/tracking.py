"""One run's metrics: into `metrics.jsonl` first, then to the trackers, which are told what the file holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from hkd_edge.errors import RecipeError
from hkd_edge.evaluate.result import Validation
from hkd_edge.recipe import Recipe
from hkd_edge.track.events import KEY_DIGITS, ArtefactEvent, EpochEvent, Event, StageEvent, artefact_event, now, points
from hkd_edge.track.record import METRICS_FILE, Record
from hkd_edge.track.registry import Outcome, Tracker, make_trackers

if TYPE_CHECKING:
    from hkd_edge.train.loop import EpochResult


class Tracking:
    """Is told of stages, epochs and artefacts.

    A stage that begins with another key discards the epochs and artefacts that it had with the old one, and an epoch
    that is trained again discards the old one and those after it. An epoch that a resumed training only tells again
    is known already.
    """

    def __init__(self, record: Record, trackers: dict[str, Tracker], warn: Callable[[str], None]) -> None:
        self._record = record
        self._trackers = dict(trackers)
        self._warn = warn
        self._stage = self._key = ""

    def stage_started(self, stage: str, key: str) -> None:
        """The stage begins its work."""
        self._stage, self._key = stage, key[:KEY_DIGITS]
        self._discard(lambda event: _is_result_of(event, stage) and event.key != self._key)
        self._add(StageEvent(now(), stage, self._key, "started"))

    def stage_skipped(self, stage: str, key: str) -> None:
        """The stage was done already; what it told then still holds."""
        self._add(StageEvent(now(), stage, key[:KEY_DIGITS], "skipped"))

    def stage_done(self, stage: str, seconds: float) -> None:
        """The stage has ended."""
        self._add(StageEvent(now(), stage, self._key, "done", seconds))

    def epoch(self, training: str, result: EpochResult, epochs: int, images: int) -> None:
        """An epoch of `training` over `images` training images has ended, or is told again."""
        event = EpochEvent(
            *(now(), self._stage, self._key, training, result.epoch + 1, epochs, result.loss, result.accuracies),
            seconds=result.seconds,
            images_per_s=round(images / result.seconds, 1) if result.seconds > 0 else None,
        )
        if any(_is_epoch_of(old, event) and dataclasses.replace(old, time=event.time) == event for old in self._events):
            return
        self._discard(lambda old: _is_epoch_of(old, event) and old.epoch >= event.epoch)
        self._add(event)

    def validated(self, validation: Validation) -> None:
        """The artefacts were validated, in the place of what was found before."""
        self._discard(lambda event: isinstance(event, ArtefactEvent) and event.stage == self._stage)
        self._add(*(artefact_event(row, self._stage, self._key) for row in validation.rows))

    def begin(self) -> None:
        """Gives the trackers what the record holds.

        Raises:
            RecipeError: if one of them cannot take it; nothing is lost yet, so the user may as well mend it now.
        """
        for name, tracker in self._trackers.items():
            try:
                tracker.begin(points(self._events))
            except Exception as error:
                raise RecipeError(
                    f"recipe.tracking.{name}: expected a place that takes metrics, got: {_told(error)}. "
                    f"Correct or remove tracking.{name}."
                ) from error

    def close(self, outcome: Outcome) -> None:
        """The run has ended so."""
        self._tell(lambda tracker: tracker.close(outcome))

    @property
    def _events(self) -> list[Event]:
        return self._record.events

    def _add(self, *events: Event) -> None:
        for event in events:
            self._record.append(event)
        new = points(events)
        if new:
            self._tell(lambda tracker: tracker.log(new))

    def _discard(self, holds_no_more: Callable[[Event], bool]) -> None:
        if self._record.discard(holds_no_more):
            self._tell(lambda tracker: tracker.begin(points(self._events)))

    def _tell(self, action: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                action(tracker)
            except Exception as error:  # noqa: BLE001  whatever breaks in foreign code, a training of hours goes on
                del self._trackers[name]
                self._warn(
                    f"{name} has failed and is told nothing more by this run: {_told(error)}. {METRICS_FILE} goes on; "
                    "--resume gives it what it lacks."
                )


@contextmanager
def open_tracking(recipe: Recipe, run: Path, warn: Callable[[str], None]) -> Iterator[Tracking]:
    """The tracking of the run directory `run` as `recipe` wants it; `warn` is given a line if a tracker fails.

    Raises:
        RecipeError: if a tracker cannot be used from the start.
        RunDirectoryError: if the run's `metrics.jsonl` is damaged.
    """
    with closing(Record(run / METRICS_FILE)) as record:
        tracking = Tracking(record, make_trackers(recipe, run), warn)
        tracking.begin()
        outcome: Outcome = "failed"
        try:
            yield tracking
            outcome = "finished"
        except KeyboardInterrupt:
            outcome = "killed"
            raise
        finally:
            tracking.close(outcome)


def _is_result_of(event: Event, stage: str) -> bool:
    return isinstance(event, EpochEvent | ArtefactEvent) and event.stage == stage


def _is_epoch_of(event: Event, like: EpochEvent) -> TypeGuard[EpochEvent]:
    return isinstance(event, EpochEvent) and (event.stage, event.training) == (like.stage, like.training)


def _told(error: Exception) -> str:
    """The first line of an error, which may be a whole page."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
