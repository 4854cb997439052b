"""Measures a bundle on this machine: every artefact that works here, and beside it its runtime called directly."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hkd_edge_runtime import __version__
from hkd_edge_runtime.backends import backend_class, canonical_name
from hkd_edge_runtime.board import Board, read_board
from hkd_edge_runtime.bundle import Bundle, open_bundle
from hkd_edge_runtime.cold import ColdStart, measure_cold_start
from hkd_edge_runtime.conditions import Conditions, read_conditions, warnings_about
from hkd_edge_runtime.errors import BundleError, MissingBackendError
from hkd_edge_runtime.evaluation import evaluate, read_evaluation
from hkd_edge_runtime.golden import read_golden
from hkd_edge_runtime.labelled import Labels, find_labelled
from hkd_edge_runtime.manifest import Artefact, Manifest
from hkd_edge_runtime.raw import RAW_CALLS
from hkd_edge_runtime.selection import AUTO, is_usable, select_artefact, what_is_missing
from hkd_edge_runtime.session import Model, load
from hkd_edge_runtime.turns import Pace, TimedCall, Timing, time_in_turns

if TYPE_CHECKING:
    from hkd_edge_runtime.preprocess import Pixels
    from hkd_edge_runtime.signature import PublicKey

FORMAT = "hkd-edge-bench"
FORMAT_VERSION = 1
_JUDGED_BATCH = 32

Progress = Callable[[str], None]
Labelled = Callable[[], Iterator["tuple[Pixels, Labels]"]]


@dataclass(frozen=True)
class Settings:
    """What to measure and how long.

    Attributes:
        target: likewise `precision`: a name, or `auto` for all; artefacts that were not shipped are measured too.
        threads: how many the runtime may use.
        batches: numbers of images for which the throughput of `predict_batch` is measured.
        pace: how long each artefact and batch is timed.
        starts: how many fresh processes measure the cold start.
        images: folder with a subfolder of images for each class; None takes the bundle's evaluation subset.
        raw: whether the runtimes are also called directly, beside `predict`.
    """

    target: str = AUTO
    precision: str = AUTO
    threads: int = 1
    batches: tuple[int, ...] = (8, 32)
    pace: Pace = field(default_factory=Pace)
    starts: int = 3
    images: Path | None = None
    raw: bool = True


@dataclass(frozen=True)
class Judged:
    """How many of `images` labelled images had the right class, in percent."""

    images: int
    top1: float


@dataclass(frozen=True)
class Row:
    """One artefact on this machine.

    Attributes:
        runtime: the runtime's version.
        latency: of `predict` with one image, given as an array.
        raw: of the runtime's fastest call of the same file, see `raw.py`; None where there is none, or not asked for.
        predict_over_raw: the ratio of the two medians.
        throughput: of `predict_batch` for each of the batches asked for.
        accuracy: None if there are no labelled images.
    """

    target: str
    precision: str
    shipped: bool
    runtime: str
    cold_start: ColdStart
    latency: Timing
    raw: Timing | None
    predict_over_raw: float | None
    throughput: tuple[Timing, ...]
    accuracy: Judged | None


@dataclass(frozen=True)
class Skipped:
    """An artefact that does not work here, and why."""

    target: str
    precision: str
    reason: str


@dataclass(frozen=True)
class Report:
    """A whole measurement; `to_dict` gives the documented JSON.

    Attributes:
        sha256: of the bundle's manifest, which holds those of all its files.
        accuracy_by: `images` (the folder asked for), `evaluation` (the bundle's subset) or `none`.
        warnings: what makes the figures too slow, or hard to repeat.
    """

    bundle: str
    sha256: str
    settings: Settings
    accuracy_by: Literal["images", "evaluation", "none"]
    board: Board
    before: Conditions
    after: Conditions
    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values; null is what the machine does not show."""
        folder = self.settings.images
        settings = asdict(self.settings) | {"images": None if folder is None else str(folder)}
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "created_by": f"hkd-edge-runtime {__version__}"}
        return head | asdict(self) | {"settings": settings}


def bench(
    path: str | os.PathLike[str],
    settings: Settings,
    progress: Progress = lambda text: None,
    *,
    require_signature: PublicKey | None = None,
) -> Report:
    """Measures the bundle in a folder or an .hkd file; `progress` is told what is being done.

    Raises:
        BundleError: if the bundle is damaged, not signed as required, lacks what was asked for, or no artefact of it
            answers rightly here.
        KeyFileError: if `require_signature` is no public key.
        MissingBackendError: if no runtime that it needs is installed.
        InputError: if the folder of labelled images is not as it should be.
    """
    with open_bundle(path, require_signature) as bundle:
        usable, skipped = _usable(bundle.manifest, settings)
        labelled = _labelled(bundle, settings)
        board, before = read_board(), read_conditions()
        started, failed = _start_all(Path(path), usable, settings, progress)
        rows, after = _measure(Path(path), bundle, started, labelled, settings, progress)
        return Report(
            bundle=bundle.manifest.name,
            sha256=bundle.digest,
            settings=settings,
            accuracy_by=_accuracy_by(labelled, settings),
            board=board,
            before=before,
            after=after,
            rows=rows,
            skipped=(*skipped, *failed),
            warnings=warnings_about(before, after, board.cores),
        )


def _usable(manifest: Manifest, settings: Settings) -> tuple[list[Artefact], list[Skipped]]:
    """The artefacts asked for whose runtime is installed, and the others with what they lack."""
    target, precision = canonical_name(settings.target), settings.precision
    fitting = [
        artefact
        for artefact in manifest.artefacts
        if target in (AUTO, artefact.target) and precision in (AUTO, artefact.precision)
    ]
    if not fitting:
        select_artefact(manifest, settings.target, precision)  # raises, and says what there is
    usable = [artefact for artefact in fitting if is_usable(artefact)]
    if not usable:
        raise MissingBackendError(f"{manifest.name}: {what_is_missing(fitting)}")
    lacking = [artefact for artefact in fitting if not is_usable(artefact)]
    return usable, [Skipped(each.target, each.precision, what_is_missing([each])) for each in lacking]


def _start_all(
    path: Path, artefacts: Sequence[Artefact], settings: Settings, progress: Progress
) -> tuple[list[tuple[Artefact, ColdStart]], list[Skipped]]:
    """The artefacts that answer, with their cold starts, and those that do not, with their reasons.

    Raises:
        BundleError: if none does.
    """
    started, failed = [], []
    for artefact in artefacts:
        progress(f"{artefact.title}: cold start, {settings.starts} times")
        try:
            cold = measure_cold_start(path, artefact, threads=settings.threads, starts=settings.starts)
            started.append((artefact, cold))
        except BundleError as error:
            failed.append(Skipped(artefact.target, artefact.precision, str(error)))
    if not started:
        raise BundleError(" ".join(each.reason for each in failed))
    return started, failed


def _measure(
    path: Path,
    bundle: Bundle,
    started: Sequence[tuple[Artefact, ColdStart]],
    labelled: Labelled | None,
    settings: Settings,
    progress: Progress,
) -> tuple[tuple[Row, ...], Conditions]:
    """A row for each artefact, and the conditions right after the last timed call."""
    images = read_golden(bundle.place(bundle.manifest.golden.file), bundle.manifest).images
    with ExitStack() as stack:
        models = [
            stack.enter_context(load(path, artefact.target, artefact.precision, threads=settings.threads))
            for artefact, _ in started
        ]
        progress(f"latency of one image, {len(models)} artefact(s) in turns")
        latencies = _latencies(bundle, models, images, settings)
        throughputs = []
        for batch in settings.batches:
            progress(f"throughput of {batch} images at a time")
            calls = [_predict_batch(model, images, batch) for model in models]
            throughputs.append(time_in_turns(calls, settings.pace, batch))
        after = read_conditions()
        accuracies = _judge(models, labelled, progress) if labelled else [None] * len(models)
    rows = tuple(
        Row(
            artefact.target,
            artefact.precision,
            artefact.shipped,
            backend_class(artefact.target)().version(),
            cold_start,
            *latencies[index],
            _ratio(*latencies[index]),
            tuple(timings[index] for timings in throughputs),
            accuracies[index],
        )
        for index, (artefact, cold_start) in enumerate(started)
    )
    return rows, after


def _latencies(
    bundle: Bundle, models: Sequence[Model], images: Pixels, settings: Settings
) -> list[tuple[Timing, Timing | None]]:
    """Of `predict` and of the raw call for each model, all in turns; None where there is no raw call."""
    pairs = [
        (_predict(model, images), _raw(bundle, model.artefact, images[0], settings.threads) if settings.raw else None)
        for model in models
    ]
    # A raw call's turn comes right after that of its model, so that the two see the same machine.
    timings = iter(time_in_turns([call for pair in pairs for call in pair if call], settings.pace, 1))
    return [(next(timings), next(timings) if raw else None) for _, raw in pairs]


def _raw(bundle: Bundle, artefact: Artefact, image: Pixels, threads: int) -> TimedCall | None:
    make = RAW_CALLS.get(artefact.target)
    if make is None:
        return None
    raw = make(bundle.place(*artefact.files) / artefact.files[0].path, image, threads)

    def call(run: int) -> float:
        started = time.perf_counter()
        raw()
        return time.perf_counter() - started

    return call


def _ratio(latency: Timing, raw: Timing | None) -> float | None:
    return None if raw is None else round(latency.p50_ms / raw.p50_ms, 4)


def _predict(model: Model, images: Pixels) -> TimedCall:
    def call(run: int) -> float:
        image = images[run % len(images)]
        started = time.perf_counter()
        model.predict(image)
        return time.perf_counter() - started

    return call


def _predict_batch(model: Model, images: Pixels, batch: int) -> TimedCall:
    def call(run: int) -> float:
        taken = images[np.arange(run * batch, (run + 1) * batch) % len(images)]
        started = time.perf_counter()
        model.predict_batch(taken)
        return time.perf_counter() - started

    return call


def _labelled(bundle: Bundle, settings: Settings) -> Labelled | None:
    """Gives labelled images, some at a time; None if there are none."""
    manifest = bundle.manifest
    if settings.images is not None:
        found = find_labelled(settings.images, manifest.labels)
        return lambda: found.batches(manifest.input, _JUDGED_BATCH)
    if manifest.evaluation is None:
        return None
    evaluation = read_evaluation(bundle.place(manifest.evaluation), manifest)
    return None if evaluation is None else lambda: iter([(evaluation.images, evaluation.labels)])


def _accuracy_by(labelled: Labelled | None, settings: Settings) -> Literal["images", "evaluation", "none"]:
    if labelled is None:
        return "none"
    return "evaluation" if settings.images is None else "images"


def _judge(models: Sequence[Model], labelled: Labelled, progress: Progress) -> list[Judged | None]:
    """The accuracy of each model; every image is read once for all of them."""
    images, right = 0, np.zeros(len(models))
    for pixels, labels in labelled():
        right += [evaluate(model, pixels, labels).top1 / 100 * len(labels) for model in models]
        images += len(labels)
        progress(f"accuracy: {images} images")
    return [Judged(images, round(100 * float(each) / images, 4)) for each in right]
