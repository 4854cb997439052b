"""Answers and latency of built files, each opened by the runtime that the board uses, with the board's own code.

TensorRT's files are the exception where no engine can run: ONNX Runtime computes the same numbers in its place, node by
node. That tells of accuracy, never of latency.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hkd_edge_runtime.backends import Backend, Outputs, backend_class
from hkd_edge_runtime.backends.base import joined
from hkd_edge_runtime.backends.onnxruntime import OnnxRuntimeBackend
from hkd_edge_runtime.backends.openvino import OpenVinoBackend
from hkd_edge_runtime.evaluation import top1_percent

TENSORRT = "tensorrt"
_BATCH_SIZE = 100
_WARM_UP_RUNS = 30


@dataclass(frozen=True)
class Artefact:
    """A built file: the runtime that it is for, the precision of its arithmetic, and the file to open."""

    target: str
    precision: str
    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the artefact, the one to open first (OpenVINO keeps the weights in a second one)."""
        weights = self.path.with_suffix(".bin")
        return (self.path, weights) if self.path.suffix == ".xml" else (self.path,)

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(file.stat().st_size for file in self.files)


@dataclass(frozen=True)
class Latency:
    """Percentiles of the time of one call, in milliseconds, over `runs` calls."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    runs: int


def runs_here(target: str) -> bool:
    """Whether this machine answers by the target's own runtime, and not by one that stands in for it."""
    return target != TENSORRT


def runtime_title(target: str) -> str:
    """What computes the answers of a target's artefacts on this machine, with its version."""
    version = _backend(target).version()
    return f"{target} {version}" if runs_here(target) else f"onnxruntime {version} in the place of {target}"


def _backend(target: str, *, forced_f32: bool = True) -> Backend:
    if target == TENSORRT:
        return OnnxRuntimeBackend(optimised=False)
    if target == OpenVinoBackend.name and not forced_f32:
        return OpenVinoBackend(inference_precision=None)
    return backend_class(target)()


@contextmanager
def opened(artefact: Artefact, threads: int = 1, *, forced_f32: bool = True) -> Iterator[Backend]:
    """The artefact open in its runtime, or in the one that stands in for it here.

    Without `forced_f32`, OpenVINO computes floats in the precision that it chooses for this processor.

    Raises:
        MissingBackendError: if the runtime is not installed.
        BundleError: if the runtime refuses the file.
    """
    backend = _backend(artefact.target, forced_f32=forced_f32)
    try:
        backend.open(artefact.path, threads=threads)
        yield backend
    finally:
        backend.close()


def answer(
    artefact: Artefact,
    images: NDArray[np.uint8],
    on_image: Callable[[int, int], None] = lambda done, total: None,
    *,
    forced_f32: bool = True,
) -> Outputs:
    """What the artefact answers for images uint8 (N, H, W, C); see `opened`."""
    parts = []
    with opened(artefact, threads=os.cpu_count() or 1, forced_f32=forced_f32) as backend:
        for start in range(0, len(images), _BATCH_SIZE):
            parts.append(backend.run(images[start : start + _BATCH_SIZE]))
            on_image(min(start + _BATCH_SIZE, len(images)), len(images))
    return joined(parts)


def measure_latency(
    artefacts: Sequence[Artefact],
    images: NDArray[np.uint8],
    *,
    runs: int,
    threads: int,
    batch: int = 1,
    on_run: Callable[[int, int], None] = lambda done, total: None,
) -> list[Latency]:
    """Latency of `batch` images at a time for each artefact, in the order given.

    The artefacts take turns call by call in this process, so that whatever else the machine does hits all alike;
    each has its own warm-up, which is discarded. Images uint8 (N, H, W, C) are used in turn.

    Raises:
        ValueError: for an artefact whose own runtime is not here.
    """
    for artefact in artefacts:
        if not runs_here(artefact.target):
            raise ValueError(f"artefacts: expected targets that run here, got {artefact.target}.")
    warm_up = min(_WARM_UP_RUNS, runs)
    backends = []
    try:
        for artefact in artefacts:
            backends.append(backend_class(artefact.target)())
            backends[-1].open(artefact.path, threads=threads)
        seconds = np.empty((runs + warm_up, len(backends)))
        for run in range(runs + warm_up):
            taken = images[np.arange(run * batch, (run + 1) * batch) % len(images)]
            for column, backend in enumerate(backends):
                started = time.perf_counter()
                backend.run(taken)
                seconds[run, column] = time.perf_counter() - started
            on_run(run + 1, runs + warm_up)
    finally:
        for backend in backends:
            backend.close()
    percentiles = np.percentile(seconds[warm_up:] * 1e3, (50, 90, 99), axis=0)
    return [
        Latency(round(float(p50), 4), round(float(p90), 4), round(float(p99), 4), runs)
        for p50, p90, p99 in percentiles.T
    ]


def agreement_percent(scores: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Percent of rows of two (N, C) whose largest entries are at the same place."""
    return top1_percent(scores, others.argmax(axis=1))
