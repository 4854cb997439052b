"""The cold start of one artefact or bare file: how long a fresh process takes to its first answer, and how much memory.

Also a shield: an artefact that kills its process, as a runtime built for another processor does, kills this one alone.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hkd_edge_runtime.backends import backend_class
from hkd_edge_runtime.errors import BundleError, HkdEdgeError, MissingBackendError
from hkd_edge_runtime.manifest import Artefact
from hkd_edge_runtime.session import load
from hkd_edge_runtime.sysfs import ROOT, read_text

# A TensorRT engine is built when its file is first opened, which takes minutes on a board.
TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class ColdStart:
    """A fresh process that loads and answers; memory is None where the system does not show it.

    Files that the system still has in memory are not read from the disk again.

    Attributes:
        load_ms: `load`: importing the runtime, opening the file, and all checks; of a bare file without the checks.
        first_answer_ms: the first `predict` after it; of a bare file the first `run_one`, in which OpenVINO compiles
            what the checks of a bundle have it compile before.
        starts: how many processes; all numbers are the medians over them.
        rss_before_bytes: resident memory with numpy and this package, before `load`.
        rss_bytes: resident memory after the first answer.
        rss_peak_bytes: the most that it was.
    """

    load_ms: float
    first_answer_ms: float
    starts: int
    rss_before_bytes: int | None = None
    rss_bytes: int | None = None
    rss_peak_bytes: int | None = None


def measure_cold_start(bundle: Path, artefact: Artefact, *, threads: int, starts: int) -> ColdStart:
    """The medians over `starts` fresh processes, one after the other, of an artefact of a bundle.

    Raises:
        BundleError: if a process could not answer, with what it said or the signal that ended it.
    """
    words = ["bundle", str(bundle), artefact.target, artefact.precision, str(threads)]
    return _medians([_start(artefact.title, words) for _ in range(starts)])


def measure_file_start(target: str, path: Path, *, threads: int, starts: int) -> ColdStart:
    """The same of a model file without a bundle, opened by the backend of `target` and answering a blank image.

    Raises:
        MissingBackendError: if there is no such backend, or its runtime cannot run here.
        BundleError: if a process could not answer, with what it said or the signal that ended it.
    """
    if reason := backend_class(target).missing_reason():
        raise MissingBackendError(reason)
    words = ["file", target, str(path), str(threads)]
    return _medians([_start(f"{target} {path.name}", words) for _ in range(starts)])


def start_here(bundle: str | os.PathLike[str], target: str, precision: str, threads: int) -> ColdStart:
    """The cold start in this process, which must have loaded nothing yet for the numbers to mean something."""
    return _timed(_opened_bundle(bundle, target, precision, threads))


def start_file_here(target: str, path: Path, threads: int) -> ColdStart:
    """Likewise of a model file without a bundle."""
    return _timed(_opened_file(target, path, threads))


@contextmanager
def _opened_bundle(
    bundle: str | os.PathLike[str], target: str, precision: str, threads: int
) -> Iterator[Callable[[], object]]:
    with load(bundle, target, precision, threads) as model:
        blank = np.zeros(model.manifest.input.shape, np.uint8)
        yield lambda: model.predict(blank)


@contextmanager
def _opened_file(target: str, path: Path, threads: int) -> Iterator[Callable[[], object]]:
    with closing(backend_class(target)()) as backend:
        backend.open(path, threads=threads)
        blank = np.zeros(backend.input_shape, np.uint8)
        yield lambda: backend.run_one(blank)


def _timed(opened: AbstractContextManager[Callable[[], object]]) -> ColdStart:
    """Times entering `opened`, which is the load, and what it gives, which is the first answer."""
    before = _memory("VmRSS")
    started = time.perf_counter()
    with opened as answer:
        loaded = time.perf_counter()
        answer()
        answered = time.perf_counter()
        after, peak = _memory("VmRSS"), _memory("VmHWM")
    return ColdStart((loaded - started) * 1e3, (answered - loaded) * 1e3, 1, before, after, peak)


def _start(title: str, words: Sequence[str]) -> ColdStart:
    """The cold start of a fresh process, which is given `words`."""
    command = [sys.executable, "-m", __name__, *words]
    # The search path of this process, which need not be that of a bare interpreter.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{title}: expected an answer within {TIMEOUT_S:g} s, got none.") from error
    if done.returncode != 0:
        raise BundleError(f"{title}: expected an answer from a fresh process, {_what_ended(done)}")
    return ColdStart(**json.loads(done.stdout))


def _what_ended(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"it was ended by {signal.Signals(-done.returncode).name}: its runtime does not suit this processor."
    lines = done.stderr.strip().splitlines() or [f"it ended with exit code {done.returncode}"]
    return f"got: {lines[-1].removeprefix('error: ')}"


def _medians(starts: Sequence[ColdStart]) -> ColdStart:
    def median_bytes(values: list[int | None]) -> int | None:
        shown = [value for value in values if value is not None]
        return int(statistics.median(shown)) if shown else None

    return ColdStart(
        statistics.median(start.load_ms for start in starts),
        statistics.median(start.first_answer_ms for start in starts),
        len(starts),
        median_bytes([start.rss_before_bytes for start in starts]),
        median_bytes([start.rss_bytes for start in starts]),
        median_bytes([start.rss_peak_bytes for start in starts]),
    )


def _memory(name: str) -> int | None:
    """A line of /proc/self/status in bytes: VmRSS now, VmHWM at its highest.

    Not getrusage: its maximum outlives exec, so that a child would begin with its parent's.
    """
    found = re.search(rf"^{name}:\s+(\d+) kB$", read_text(ROOT / "proc/self/status"), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def main(arguments: Sequence[str]) -> int:
    """Prints the cold start of `bundle BUNDLE TARGET PRECISION THREADS` or `file TARGET FILE THREADS` as JSON."""
    try:
        print(json.dumps(asdict(_started(*arguments))))
    except HkdEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _started(kind: str, *words: str) -> ColdStart:
    *what, threads = words
    if kind == "bundle":
        bundle, target, precision = what
        return start_here(bundle, target, precision, int(threads))
    target, path = what
    return start_file_here(target, Path(path), int(threads))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
