"""Images prepared by a thread while the ones before them are being answered."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from queue import Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from hkd_edge_runtime.preprocess import to_pixels

if TYPE_CHECKING:
    from hkd_edge_runtime.manifest import InputSpec
    from hkd_edge_runtime.preprocess import ImageSource, Pixels

# One batch waits while one is prepared: more would only use memory, as the slower side sets the pace.
WAITING_BATCHES = 1
# How often a thread with a full queue looks whether it should stop.
POLL_S = 0.05
# How long the end of a stream waits for a source that is taking its time, such as a camera between two pictures.
STOP_S = 2.0

_T = TypeVar("_T")


def batches(sources: Iterable[ImageSource], spec: InputSpec, size: int) -> Generator[Pixels, None, None]:
    """`sources` as pixels (N, H, W, C), N = `size` but in the last one.

    An error of a source, or of an image that does not fit, comes after a batch of the images before it.
    """
    pixels: list[Pixels] = []
    try:
        for source in sources:
            pixels.append(to_pixels(source, spec))
            if len(pixels) == size:
                full, pixels = pixels, []
                yield np.stack(full)
    except GeneratorExit:
        raise
    except BaseException:
        if pixels:
            yield np.stack(pixels)
        raise
    if pixels:
        yield np.stack(pixels)


def prefetched(items: Generator[_T, None, None]) -> Generator[_T, None, None]:
    """`items`, taken in a thread of its own ahead of their use; its errors are raised here, at their place.

    When this iterator is closed the thread stops, and nothing more is taken from `items`.
    """
    worker = _Worker(items)
    worker.thread.start()
    try:
        while not isinstance(item := worker.queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        worker.stop.set()
        worker.thread.join(STOP_S)


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Worker(Generic[_T]):
    def __init__(self, items: Generator[_T, None, None]) -> None:
        self.items = items
        self.queue: Queue[_T | _End] = Queue(WAITING_BATCHES)
        self.stop = Event()
        # A daemon, so that a source that never answers again cannot keep the program from ending.
        self.thread = Thread(target=self._work, name="hkd-edge-stream", daemon=True)

    def _work(self) -> None:
        end = _End(None)
        try:
            for item in self.items:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised where the items are used
            end = _End(error)
        finally:
            self.items.close()
        self._put(end)

    def _put(self, item: _T | _End) -> bool:
        while not self.stop.is_set():
            try:
                self.queue.put(item, timeout=POLL_S)
            except Full:
                continue
            return True
        return False
