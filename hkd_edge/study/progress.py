"""How a study goes: which cells have ended, and how long the others will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hkd_edge.errors import HkdEdgeError
from hkd_edge.report.wording import duration
from hkd_edge.study.cells import CellResult, TrialResult

Tell = Callable[[str], None]
Result = CellResult | TrialResult


class Progress:
    """Tells of teachers and of each cell that ends, and how long the others will take at their paces so far.

    `done` of `cells` cells were there before.
    """

    def __init__(self, cells: int, done: int, tell: Tell) -> None:
        self._cells = cells
        self._tell = tell
        self._teachers = _Pace(0)
        self._students = _Pace(cells - done)
        self._last = time.perf_counter()
        if done:
            tell(f"{done} of {cells} cells are done already")

    def expect_teachers(self, count: int) -> None:
        """So many times `taught` will be called, if nothing fails."""
        self._teachers = _Pace(count)

    def taught(self) -> None:
        """The teachers of some cells are trained, or were."""
        self._count(self._teachers)
        self._tell(f"teachers: {self._teachers.ended} of {self._teachers.total} are ready")

    def done(self, title: str, result: Result) -> None:
        """The cell `title` is trained and measured."""
        self._end(title, f"validation {_shown(result)}, {result.seconds:.1f} s")

    def failed(self, title: str, error: HkdEdgeError) -> None:
        """The cell `title` cannot be trained."""
        self._end(title, f"failed: {error}")

    def _end(self, title: str, text: str) -> None:
        self._count(self._students)
        ended, left_s = self._cells - self._students.left, self._teachers.left_s + self._students.left_s
        self._tell(f"[{ended}/{self._cells}] {title}: {text}; about {duration(left_s)} left")

    def _count(self, pace: _Pace) -> None:
        # What ended gets the time since something ended before it: processes are mostly all at one kind of work.
        now = time.perf_counter()
        pace.ended += 1
        pace.spent_s += now - self._last
        self._last = now


@dataclass
class _Pace:
    """How many trainings of a kind there are, how many have ended, and what these took."""

    total: int
    ended: int = 0
    spent_s: float = 0.0

    @property
    def left(self) -> int:
        return self.total - self.ended

    @property
    def left_s(self) -> float:
        return self.spent_s / self.ended * self.left if self.ended else 0.0


def _shown(result: Result) -> str:
    """What validation images say: top-1, or of a class that was left out its concepts."""
    noun, value = "", result.top1 if isinstance(result, TrialResult) else result.validation.top1
    if isinstance(result, CellResult) and result.cell.unmet:
        noun, value = "concepts ", result.validation.concept_mean
    return noun + ("-" if value is None else f"{value:.2f} %")
