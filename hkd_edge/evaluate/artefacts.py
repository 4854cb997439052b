"""Answers of built files, each opened by the runtime that the board uses, with the board's own code.

TensorRT's files are the exception where no engine can run: ONNX Runtime computes the same numbers in its place, node by
node. That tells of accuracy, never of latency.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hkd_edge.data.stored import Pixels
from hkd_edge_runtime.backends import Backend, Outputs, backend_class
from hkd_edge_runtime.backends.base import joined
from hkd_edge_runtime.backends.onnxruntime import OnnxRuntimeBackend
from hkd_edge_runtime.backends.openvino import OpenVinoBackend

TENSORRT = "tensorrt"
_BATCH_SIZE = 100


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
    images: Pixels,
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
