"""Curves for TensorBoard in RUN/tensorboard, made anew from the record at each start."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from hkd_edge.recipe import Recipe
from hkd_edge.track.events import Point
from hkd_edge.track.registry import Outcome

FOLDER = "tensorboard"


class TensorBoardTracker:
    """Writes one file of events at a time."""

    def __init__(self, recipe: Recipe, run: Path) -> None:
        self._folder = run / FOLDER
        self._writer: SummaryWriter | None = None

    def begin(self, points: Sequence[Point]) -> None:
        """Writes `points` into a new file and empties the older ones."""
        self._close()
        older = list(self._folder.glob("events.out.tfevents.*"))
        # A TensorBoard that is open meanwhile has the older points in memory; purge_step has it forget them.
        self._writer = SummaryWriter(str(self._folder), purge_step=0)
        self.log(points)
        for file in older:
            _remove(file)

    def log(self, points: Sequence[Point]) -> None:
        """Adds `points`."""
        assert self._writer is not None, "begin() comes first"
        for point in points:
            self._writer.add_scalar(point.name, point.value, point.step, walltime=point.unix_s)
        self._writer.flush()

    def close(self, outcome: Outcome) -> None:
        """Closes the file."""
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _remove(file: Path) -> None:
    """Empties the file, or removes it if it was emptied before: a TensorBoard that reads it stops at a missing one."""
    if file.stat().st_size:
        os.truncate(file, 0)
    else:
        file.unlink()
