"""Progress of long work: bars on a terminal, plain lines elsewhere, and the run's tracking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from hkd_edge.evaluate.result import Validation
    from hkd_edge.track.tracking import Tracking
    from hkd_edge.train.loop import EpochResult


class TrainingProgress(Protocol):
    """Is told of the steps and epochs of one training."""

    def step(self, done: int, total: int) -> None:
        """`done` of `total` steps of the whole training are taken."""

    def epoch(self, result: EpochResult, epochs: int) -> None:
        """An epoch of `epochs` has ended."""


class Reporter(AbstractContextManager["Reporter"]):
    """Tells a person how the run goes. On a terminal the work at hand is a bar below the lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bars.add_task("", visible=False)
        self._work = ""
        self._tracking: Tracking | None = None

    def __enter__(self) -> Reporter:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    @contextmanager
    def tracked(self, tracking: Tracking) -> Iterator[None]:
        """Within the block `tracking` is told too, first: what a person reads is recorded."""
        self._tracking = tracking
        try:
            yield
        finally:
            self._tracking = None

    def stage_started(self, name: str, key: str) -> None:
        """A stage begins its work, by `key`."""
        if self._tracking:
            self._tracking.stage_started(name, key)
        self._bars.update(self._task, visible=False)

    def stage_skipped(self, name: str, key: str) -> None:
        """A stage was done already, by `key`."""
        if self._tracking:
            self._tracking.stage_skipped(name, key)
        self._line(f"{name:<9} done already, skipped")

    def stage_done(self, name: str, seconds: float) -> None:
        """A stage has ended."""
        if self._tracking:
            self._tracking.stage_done(name, seconds)
        self._bars.update(self._task, visible=False)
        self._line(f"{name:<9} done in {seconds:.1f} s")

    def note(self, stage: str, text: str) -> None:
        """Something that a person wants to know."""
        self._line(f"{stage:<9} {text}")

    def warning(self, text: str) -> None:
        """Something that went wrong and does not end the run."""
        self._line(f"warning   {text}")

    def validated(self, validation: Validation) -> None:
        """The artefacts of the run were validated."""
        if self._tracking:
            self._tracking.validated(validation)

    def work(self, description: str, done: int, total: int) -> None:
        """`done` of `total` pieces of the work at hand are done; seen on terminals only."""
        if description != self._work:
            self._work = description
            self._bars.reset(self._task)  # the time left is estimated from this work's own pace
        self._bars.update(self._task, description=description, completed=done, total=total, visible=True)

    def training(self, stage: str, name: str, title: str, images: int, costs: Sequence[float] = ()) -> TrainingProgress:
        """Who is told of the training `name`, for people `title`, over `images` training images an epoch.

        `costs` says how long each epoch takes in proportion to the others; without it they take the same.
        """
        return _Training(self, stage, name, title, images, costs)

    def epoch(
        self, stage: str, name: str, title: str, images: int, result: EpochResult, epochs: int, left_s: float
    ) -> None:
        """An epoch of that training has ended, which will take `left_s` seconds more."""
        if self._tracking:
            self._tracking.epoch(name, result, epochs, images)
        accuracies = ", ".join(f"{name} {value:.2f} %" for name, value in result.accuracies.items())
        self.note(
            stage,
            f"{title} epoch {result.epoch + 1}/{epochs}: loss {result.loss:.4f}, validation {accuracies}, "
            f"{result.seconds:.1f} s, about {left_s:.0f} s left",
        )

    def _line(self, text: str) -> None:
        # Printed whole and unwrapped, so that a log has one line per event.
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Training:
    def __init__(
        self, reporter: Reporter, stage: str, name: str, title: str, images: int, costs: Sequence[float]
    ) -> None:
        self._reporter = reporter
        self._stage = stage
        self._name = name
        self._title = title
        self._images = images
        self._costs = costs

    def step(self, done: int, total: int) -> None:
        self._reporter.work(self._title, done, total)

    def epoch(self, result: EpochResult, epochs: int) -> None:
        costs = self._costs or [1.0] * epochs
        left_s = result.seconds * sum(costs[result.epoch + 1 :]) / costs[result.epoch]
        self._reporter.epoch(self._stage, self._name, self._title, self._images, result, epochs, left_s)
