"""Tells of a build that takes minutes, and lets Ctrl-C end it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Tell = Callable[[str], None]
TELL_EVERY_S = 5.0


def log_progress(line: str) -> None:
    """Tells `line` to the logger `hkd_edge_runtime` as INFO."""
    logging.getLogger("hkd_edge_runtime").info(line)


class Pace:
    """Lets a line through if the last one is `every_s` seconds old; `clock` gives seconds."""

    def __init__(self, tell: Tell, every_s: float = TELL_EVERY_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._every_s = every_s
        self._clock = clock
        self._started = self._last = clock()

    def __call__(self, line: str) -> None:
        now = self._clock()
        if now - self._last >= self._every_s:
            self._last = now
            self._tell(f"{line} ({now - self._started:.0f} s)")


@contextmanager
def build_monitor(module: Any, config: Any, tell: Tell | None) -> Iterator[None]:
    """While the block builds with `config`, `tell` is told of the phases, and Ctrl-C stops the build.

    Raises:
        KeyboardInterrupt: after the block, if it was stopped so.
    """
    if tell is None or not hasattr(module, "IProgressMonitor"):
        yield
        return
    monitor = _monitor(module, Pace(tell))
    config.progress_monitor = monitor
    yield
    # The configuration keeps no reference of its own, but TensorRT may call the monitor until it is gone.
    config.progress_monitor = None
    if monitor.interrupted:
        raise KeyboardInterrupt


def _monitor(module: Any, pace: Pace) -> Any:
    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self.interrupted = False
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            # An exception must not pass through TensorRT's own frames; Ctrl-C arrives in here as one.
            try:
                pace(f"building: {phase_name}, step {step + 1} of {self._steps.get(phase_name, '?')}")
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
