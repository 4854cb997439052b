"""Ctrl-C and SIGTERM as a question that a loop asks, so that it ends between two images and not within one."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Takes SIGINT and SIGTERM while it is open; only the main thread may open it.

    After the first signal the former handlers are back, so that a second Ctrl-C ends a program that hangs.

    Attributes:
        requested: whether a signal has come.
    """

    def __init__(self) -> None:
        self.requested = False
        self._former: dict[int, Any] = {}
        # A handler may not take a lock that the interrupted code could hold, as threading.Event does; a pipe has none.
        self._reader, self._writer = os.pipe()

    def pause(self, seconds: float) -> bool:
        """Whether to stop; waits that long for a signal to come first."""
        if not self.requested:
            select.select([self._reader], [], [], seconds)
        return self.requested

    def __enter__(self) -> StopSignals:
        self._former = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        os.close(self._reader)
        os.close(self._writer)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        os.write(self._writer, b"\0")
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}
