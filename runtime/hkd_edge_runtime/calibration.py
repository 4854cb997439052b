"""Which artefact is the fastest on this machine, measured once and remembered."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from hkd_edge_runtime.backends import Backend, backend_class
from hkd_edge_runtime.cache import cache_folder, recall, remember
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.files import sha256_file
from hkd_edge_runtime.golden import check_golden, read_golden
from hkd_edge_runtime.manifest import MANIFEST_NAME, Artefact, Manifest
from hkd_edge_runtime.packages import version_of
from hkd_edge_runtime.session import open_artefact

if TYPE_CHECKING:
    from hkd_edge_runtime.preprocess import Pixels

KIND = "calibration"
WARM_UP_ROUNDS = 10
# The median of 200 calls of 0.2 ms repeats to about 2 % on an idle machine; slow models get fewer, but never one.
ROUNDS = 200
LEAST_ROUNDS = 5
BUDGET_S = 3.0


def remembered(folder: Path, choices: Sequence[Artefact], threads: int) -> Artefact | None:
    """The one of `choices` that `calibrated` found to be the fastest here; None if it was not asked, or things changed.

    What counts as a change: the manifest, the processor, a runtime's version, `threads`, the choices.
    """
    try:
        if not (cache_folder() / KIND).is_dir():
            return None
    except RuntimeError:
        return None
    entry = recall(KIND, _key(folder, choices, threads)) or {}
    return next((each for each in choices if each.title == entry.get("fastest")), None)


def calibrated(folder: Path, manifest: Manifest, choices: Sequence[Artefact], threads: int) -> Artefact:
    """The one of `choices` with the lowest median latency of one image here; it is remembered with all latencies.

    One that cannot be opened, or whose golden answers differ here, is passed over with a warning.

    Raises:
        BundleError: if that leaves none.
        MissingBackendError: if a runtime does not load.
    """
    golden = read_golden(folder, manifest)
    with ExitStack() as opened:
        backends: dict[str, Backend] = {}
        for artefact in choices:
            try:
                backend = open_artefact(folder, artefact, manifest.input, manifest.hierarchy, threads=threads)
                opened.callback(backend.close)
                check_golden(backend, artefact, manifest, golden)
                backends[artefact.title] = backend
            except BundleError as error:
                warnings.warn(f"calibrate: {artefact.title} is passed over: {error}", RuntimeWarning, stacklevel=3)
        if not backends:
            raise BundleError(
                f"{manifest.name}: expected an artefact that runs right here, got none of {len(choices)}."
            )
        p50_ms = dict(zip(backends, measure(list(backends.values()), golden.images), strict=True))
    fastest = min(p50_ms, key=lambda title: p50_ms[title])
    remember(KIND, _key(folder, choices, threads), {"fastest": fastest, "p50_ms": p50_ms, "threads": threads})
    return next(artefact for artefact in choices if artefact.title == fastest)


def measure(backends: Sequence[Backend], images: Pixels) -> list[float]:
    """Median milliseconds of one image for each backend; they take turns, so that what disturbs one disturbs all."""
    seconds: list[list[float]] = [[] for _ in backends]
    started = time.perf_counter()
    for number in range(WARM_UP_ROUNDS + ROUNDS):
        image = images[number % len(images)]
        if number >= WARM_UP_ROUNDS + LEAST_ROUNDS and time.perf_counter() - started > BUDGET_S:
            break
        for backend, own in zip(backends, seconds, strict=True):
            before = time.perf_counter()
            backend.run_one(image)
            own.append(time.perf_counter() - before)
    return [round(median(own[WARM_UP_ROUNDS:]) * 1e3, 4) for own in seconds]


def machine_facts() -> dict[str, object]:
    """What tells machines with different speeds apart: architecture, processor, board, number of CPUs."""
    return {
        "machine": platform.machine(),
        "processor": _line("/proc/cpuinfo", "model name"),
        "board": _line("/proc/device-tree/model"),
        "cpus": os.cpu_count(),
    }


def _key(folder: Path, choices: Sequence[Artefact], threads: int) -> str:
    targets = sorted({artefact.target for artefact in choices})
    facts = {
        "manifest": sha256_file(folder / MANIFEST_NAME),
        "machine": machine_facts(),
        "runtimes": {target: _version(target) for target in targets},
        "threads": threads,
        "choices": sorted(artefact.title for artefact in choices),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _version(target: str) -> str:
    backend = backend_class(target)
    # Asking the runtime itself would import it, which takes longer than the rest of a load.
    return version_of(backend.package) or backend().version()


def _line(path: str, start: str = "") -> str:
    """The first line of a text file that begins with `start`, without that and a colon; empty if there is none."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix(start).strip("\0\t: ") for line in lines if line.startswith(start)), "")
