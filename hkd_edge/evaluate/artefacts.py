"""Answers and latency of built files, each opened by the runtime that the board uses, with the board's own code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hkd_edge_runtime.backends import Backend, Outputs, backend_class
from hkd_edge_runtime.hierarchy import Hierarchy

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


@contextmanager
def opened(artefact: Artefact, threads: int = 1) -> Iterator[Backend]:
    """The artefact open in its runtime.

    Raises:
        MissingBackendError: if the runtime is not installed.
        BundleError: if the runtime refuses the file.
    """
    backend = backend_class(artefact.target)()
    try:
        backend.open(artefact.path, threads=threads)
        yield backend
    finally:
        backend.close()


def answer(
    artefact: Artefact,
    images: NDArray[np.uint8],
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Outputs:
    """What the artefact answers for images uint8 (N, H, W, C)."""
    parts = []
    with opened(artefact) as backend:
        for start in range(0, len(images), _BATCH_SIZE):
            parts.append(backend.run(images[start : start + _BATCH_SIZE]))
            on_image(min(start + _BATCH_SIZE, len(images)), len(images))
    return Outputs(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.concept_probabilities for part in parts]),
    )


def measure_latency(
    artefacts: Sequence[Artefact],
    images: NDArray[np.uint8],
    *,
    runs: int,
    threads: int,
    on_run: Callable[[int, int], None] = lambda done, total: None,
) -> list[Latency]:
    """Latency of one image at a time for each artefact, in the order given.

    The artefacts take turns call by call in this process, so that whatever else the machine does hits all alike;
    each has its own warm-up, which is discarded. Images uint8 (N, H, W, C) are used in turn.
    """
    backends = []
    try:
        for artefact in artefacts:
            backends.append(backend_class(artefact.target)())
            backends[-1].open(artefact.path, threads=threads)
        seconds = np.empty((runs + _WARM_UP_RUNS, len(backends)))
        for run in range(runs + _WARM_UP_RUNS):
            image = images[run % len(images)][None]
            for column, backend in enumerate(backends):
                started = time.perf_counter()
                backend.run(image)
                seconds[run, column] = time.perf_counter() - started
            on_run(run + 1, runs + _WARM_UP_RUNS)
    finally:
        for backend in backends:
            backend.close()
    percentiles = np.percentile(seconds[_WARM_UP_RUNS:] * 1e3, (50, 90, 99), axis=0)
    return [
        Latency(round(float(p50), 4), round(float(p90), 4), round(float(p99), 4), runs)
        for p50, p90, p99 in percentiles.T
    ]


def top1_percent(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Percent of rows of `scores` (N, C) whose largest entry is at `labels` (N,)."""
    return 100.0 * float(np.mean(scores.argmax(axis=1) == labels))


def agreement_percent(scores: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Percent of rows of two (N, C) whose largest entries are at the same place."""
    return top1_percent(scores, others.argmax(axis=1))


def concept_accuracy_percent(
    concept_probabilities: NDArray[np.float32], labels: NDArray[np.int64], hierarchy: Hierarchy
) -> dict[str, float]:
    """Per axis by name: percent of images whose right concept has the largest mass.

    `concept_probabilities` (N, K) are all axes side by side. Only images on whose class the axis speaks are counted;
    an axis without any such image is left out.
    """
    result = {}
    for axis, columns in zip(hierarchy.axes, hierarchy.slices(), strict=True):
        concepts = np.asarray(axis.class_to_concept)[labels]
        spoken = concepts >= 0
        if spoken.any():
            result[axis.name] = top1_percent(concept_probabilities[spoken, columns], concepts[spoken])
    return result
