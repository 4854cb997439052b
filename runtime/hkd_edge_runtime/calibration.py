"""Which artefact is the fastest on this machine, measured once and remembered."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from hkd_edge_runtime.backends import Backend, backend_class
from hkd_edge_runtime.bundle import Bundle
from hkd_edge_runtime.cache import key_of, recall, remember
from hkd_edge_runtime.errors import BundleError, DeviceError, MissingBackendError
from hkd_edge_runtime.golden import GoldenSet, read_golden
from hkd_edge_runtime.golden_memory import check_and_remember
from hkd_edge_runtime.machine import machine_facts
from hkd_edge_runtime.manifest import Artefact
from hkd_edge_runtime.packages import version_of
from hkd_edge_runtime.session import open_artefact
from hkd_edge_runtime.turns import Pace, TimedCall, seconds_in_turns

if TYPE_CHECKING:
    from hkd_edge_runtime.preprocess import Pixels

KIND = "calibration"
# A load waits for this, so it is shorter than in a bench; the turns are too, or there would be but two of each.
PACE = Pace(seconds=0.5)
TURN_S = 0.05


def remembered(bundle: Bundle, choices: Sequence[Artefact], threads: int) -> Artefact | None:
    """The one of `choices` that `calibrated` found to be the fastest here; None if it was not asked, or things changed.

    What counts as a change: the bundle, the machine, a runtime's version or its GPU, `threads`, the choices.
    """
    entry = recall(KIND, key_of(_facts(bundle, choices, threads))) or {}
    return next((each for each in choices if each.title == entry.get("fastest")), None)


def calibrated(bundle: Bundle, choices: Sequence[Artefact], threads: int) -> Artefact:
    """The one of `choices` with the lowest median latency of one image here; it is remembered with all latencies.

    One that cannot be opened, or whose golden answers differ here, is passed over with a warning.

    Raises:
        BundleError: if that leaves none.
    """
    golden = read_golden(bundle.place(bundle.manifest.golden.file), bundle.manifest)
    with ExitStack() as opened:
        backends: dict[str, Backend] = {}
        for artefact in choices:
            try:
                backends[artefact.title] = _opened(bundle, artefact, golden, threads, opened)
            except (BundleError, MissingBackendError, DeviceError) as error:
                warnings.warn(f"calibrate: {artefact.title} is passed over: {error}", RuntimeWarning, stacklevel=4)
        if not backends:
            raise BundleError(
                f"{bundle.manifest.name}: expected an artefact that runs right here, got none of {len(choices)}. "
                "Run `python -m hkd_edge_runtime verify` on it, or export the bundle again."
            )
        p50_ms = dict(zip(backends, measure(list(backends.values()), golden.images), strict=True))
    fastest = min(p50_ms, key=lambda title: p50_ms[title])
    facts = _facts(bundle, choices, threads)
    remember(KIND, key_of(facts), {"fastest": fastest, "p50_ms": p50_ms, **facts})
    return next(artefact for artefact in choices if artefact.title == fastest)


def measure(backends: Sequence[Backend], images: Pixels) -> list[float]:
    """Median milliseconds of one image for each backend; they take turns, so that what disturbs one disturbs all."""
    calls = [_timed(backend, images) for backend in backends]
    return [round(float(np.median(own)) * 1e3, 4) for own in seconds_in_turns(calls, PACE, TURN_S)]


def _timed(backend: Backend, images: Pixels) -> TimedCall:
    run_one = backend.one_image(bytes)

    def call(run: int) -> float:
        image = images[run % len(images)]
        started = time.perf_counter()
        run_one(image)
        return time.perf_counter() - started

    return call


def _opened(bundle: Bundle, artefact: Artefact, golden: GoldenSet, threads: int, opened: ExitStack) -> Backend:
    """The artefact's backend, which answers the golden images rightly, and is closed with `opened`."""
    manifest = bundle.manifest
    folder = bundle.place(*artefact.files)
    backend = open_artefact(folder, artefact, manifest.input, manifest.hierarchy, threads=threads)
    opened.callback(backend.close)
    check_and_remember(backend, artefact, bundle, golden, threads)
    return backend


def _facts(bundle: Bundle, choices: Sequence[Artefact], threads: int) -> dict[str, object]:
    targets = sorted({artefact.target for artefact in choices})
    return {
        "bundle_sha256": bundle.digest,
        "runtimes": {target: _runtime(target) for target in targets},
        "threads": threads,
        "choices": sorted(artefact.title for artefact in choices),
        **machine_facts(),
    }


def _runtime(target: str) -> str:
    backend = backend_class(target)
    # Asking the runtime itself would import it, which takes longer than the rest of a load.
    version = version_of(backend.package) or _asked_version(backend)
    return " on ".join(filter(None, (version, backend.device())))


def _asked_version(backend: type[Backend]) -> str:
    try:
        return backend().version()
    except MissingBackendError as error:  # it is found but does not load, which need not stop the others
        return str(error)
