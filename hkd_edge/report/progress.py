"""Progress of long work: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager
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

    def __enter__(self) -> Reporter:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage_started(self, name: str) -> None:
        """A stage begins (it may turn out to be done)."""
        self._bars.update(self._task, visible=False)

    def stage_skipped(self, name: str) -> None:
        """A stage was done already."""
        self._line(f"{name:<9} done already, skipped")

    def stage_done(self, name: str, seconds: float) -> None:
        """A stage has ended."""
        self._bars.update(self._task, visible=False)
        self._line(f"{name:<9} done in {seconds:.1f} s")

    def note(self, stage: str, text: str) -> None:
        """Something that a person wants to know."""
        self._line(f"{stage:<9} {text}")

    def work(self, description: str, done: int, total: int) -> None:
        """`done` of `total` pieces of the work at hand are done; seen on terminals only."""
        if description != self._work:
            self._work = description
            self._bars.reset(self._task)  # the time left is estimated from this work's own pace
        self._bars.update(self._task, description=description, completed=done, total=total, visible=True)

    def training(self, stage: str, title: str) -> TrainingProgress:
        """Who is told of the training called `title`."""
        return _Training(self, stage, title)

    def _line(self, text: str) -> None:
        # Printed whole and unwrapped, so that a log has one line per event.
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Training:
    def __init__(self, reporter: Reporter, stage: str, title: str) -> None:
        self._reporter = reporter
        self._stage = stage
        self._title = title

    def step(self, done: int, total: int) -> None:
        self._reporter.work(self._title, done, total)

    def epoch(self, result: EpochResult, epochs: int) -> None:
        accuracies = ", ".join(f"{name} {value:.2f} %" for name, value in result.accuracies.items())
        left = result.seconds * (epochs - result.epoch - 1)
        self._reporter.note(
            self._stage,
            f"{self._title} epoch {result.epoch + 1}/{epochs}: loss {result.loss:.4f}, validation {accuracies}, "
            f"{result.seconds:.1f} s, about {left:.0f} s left",
        )
