"""Latency of artefacts by the board's own code: `Backend.one_image`, as `predict` calls it, and `Backend.run`.

The artefacts take turns in this process, so that whatever else the machine does hits all alike, and the first calls
of a turn, which warm the caches up, are not counted (`hkd_edge_runtime.turns`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from hkd_edge.data.stored import Pixels
from hkd_edge.evaluate.artefacts import Artefact, opened, runs_here
from hkd_edge_runtime.backends import Backend
from hkd_edge_runtime.turns import Pace, TimedCall, seconds_in_turns

# A batch takes many times as long as one image, and averages over its images.
_BATCH_SHARE = 10


def time_artefacts(
    artefacts: Sequence[Artefact],
    images: Pixels,
    *,
    runs: int,
    threads: int,
    batches: Sequence[int] = (),
    on_batch: Callable[[int], None] = lambda batch: None,
) -> list[Mapping[int, list[float]]]:
    """For each artefact the seconds of each call, by the number of images in it: 1, then each of `batches`.

    One image is run `runs` times, a batch a tenth as often. Images uint8 (N, H, W, C) are used in turn; `on_batch` is
    told the number of images that comes next.

    Raises:
        ValueError: for an artefact whose own runtime is not here.
    """
    for artefact in artefacts:
        if not runs_here(artefact.target):
            raise ValueError(f"artefacts: expected targets that run here, got {artefact.target}.")
    found: list[dict[int, list[float]]] = [{} for _ in artefacts]
    with ExitStack() as stack:
        backends = [stack.enter_context(opened(artefact, threads)) for artefact in artefacts]
        for batch in (1, *batches):
            on_batch(batch)
            calls = [_call(backend, images, batch) for backend in backends]
            pace = Pace(repeats=runs if batch == 1 else max(1, runs // _BATCH_SHARE))
            for times, seconds in zip(found, seconds_in_turns(calls, pace), strict=True):
                times[batch] = seconds
    return list(found)


def _call(backend: Backend, images: Pixels, batch: int) -> TimedCall:
    run_one = backend.one_image(bytes)

    def one(run: int) -> float:
        image = images[run % len(images)]
        started = time.perf_counter()
        run_one(image)
        return time.perf_counter() - started

    def many(run: int) -> float:
        taken = images[np.arange(run * batch, (run + 1) * batch) % len(images)]
        started = time.perf_counter()
        backend.run(taken)
        return time.perf_counter() - started

    return one if batch == 1 else many
