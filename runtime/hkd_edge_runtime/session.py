"""From a bundle's folder to answers: load it, pick an artefact, predict."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from hkd_edge_runtime.backends import Backend, Outputs, backend_class
from hkd_edge_runtime.decode import Answer, decode
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.preprocess import to_batch, to_pixels
from hkd_edge_runtime.selection import AUTO, candidates

if TYPE_CHECKING:
    from pathlib import Path

    from hkd_edge_runtime.hierarchy import Hierarchy
    from hkd_edge_runtime.manifest import Artefact, InputSpec, Manifest
    from hkd_edge_runtime.preprocess import ImageSource, Pixels


class Model:
    """An open artefact of a bundle; made by `load`. Close it, or use it in a `with` block.

    One thread at a time may use it: load one per thread, or hold a lock around each call. A second thread gets a
    BusyModelError.

    Attributes:
        manifest: what the bundle says about itself.
        artefact: the artefact that is open.
    """

    def __init__(self, manifest: Manifest, artefact: Artefact, backend: Backend) -> None:
        self.manifest = manifest
        self.artefact = artefact
        self._backend = backend
        self._hierarchy = manifest.hierarchy
        self._run_one = backend.run_one

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the outputs."""
        return self.manifest.labels

    def predict(self, image: ImageSource) -> Answer:
        """The answer for one image: a path, or a uint8 array (H, W, C), for a grey model also (H, W).

        Raises:
            InputError: if it is no image, or an array of another dtype or shape.
            ClosedModelError: after `close`.
            BusyModelError: if another thread is using the model.
        """
        # Arrays are checked by the backend, and only there.
        pixels = image if type(image) is ndarray else to_pixels(image, self.manifest.input)
        return Answer(self._run_one(pixels), self._hierarchy)

    def predict_batch(self, images: Pixels | Sequence[ImageSource]) -> list[Answer]:
        """The answers for a uint8 array (N, H, W[, C]), or for N paths and arrays.

        All run as one batch, or in parts where the runtime takes no batch of N.

        Raises:
            InputError: as `predict`, and for an empty batch.
            ClosedModelError, BusyModelError: as `predict`.
            BundleError: if a probability is not a number, which only a broken artefact or runtime gives.
        """
        return decode(self.run(to_batch(images, self.manifest.input)), self._hierarchy)

    def stream(self, images: Iterable[ImageSource], *, batch_size: int = 1) -> Iterator[Answer]:
        """An answer for each of `images` (as `predict` takes them) in their order, for as long as there are any.

        A thread takes, decodes and fits the images of the next batches while this one runs; `images` is iterated in
        that thread, up to three batches ahead. Its errors, and those of images that do not fit, come in the place of
        an answer and end the stream. To stop early leave the loop, or close the iterator: nothing is taken any more.

        Raises:
            ValueError: for batch_size < 1.
            InputError, ClosedModelError, BusyModelError, BundleError: as `predict_batch`.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size: expected a number >= 1, got {batch_size}.")
        return self._stream(images, batch_size)

    def _stream(self, images: Iterable[ImageSource], batch_size: int) -> Iterator[Answer]:
        from hkd_edge_runtime.stream import batches, prefetched

        with closing(prefetched(batches(images, self.manifest.input, batch_size))) as pixels:
            for batch in pixels:
                yield from decode(self.run(batch), self._hierarchy)

    def run(self, images: Pixels) -> Outputs:
        """The bare outputs for uint8 (N, H, W, C), for callers that do their own decoding.

        Raises:
            InputError: for another dtype or shape.
            ClosedModelError: after `close`.
        """
        return self._backend.run(images)

    def close(self) -> None:
        """Frees the model; a second call does nothing."""
        self._backend.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(
    path: str | os.PathLike[str],
    target: str = AUTO,
    precision: str = AUTO,
    threads: int = 1,
    verify: bool = True,
    calibrate: bool = False,
) -> Model:
    """The model of the bundle in folder `path`, checked and ready to predict.

    The checksums of all files are always compared. Which artefact is opened is told at `candidates`: its first, or the
    one that `calibrate` found to be the fastest on this machine.

    Args:
        target: `onnxruntime`, `openvino` (or an alias: `ort`, `ov`), or `auto`.
        precision: `fp32`, `int8`, ..., or `auto`.
        threads: how many the runtime may use; one is best for small models.
        verify: also run the golden images on the opened artefact and compare with the stored probabilities.
        calibrate: measure the candidates, unless that was done before, and remember the fastest for this and later
            loads (with or without `calibrate`) of this bundle with these versions, threads, target and precision.

    Raises:
        BundleError: if the bundle is damaged, or lacks what was asked for, or fails `verify`.
        MissingBackendError: if the runtime that it needs is not installed.
        ValueError: for threads < 1.
    """
    # Here, as they are three quarters of the package's import time, and a program that only offers to classify, such
    # as a command line that prints its help, need not wait for them.
    from pathlib import Path

    from hkd_edge_runtime.golden import check_golden, read_golden
    from hkd_edge_runtime.manifest import read_manifest, verify_files

    folder = Path(path)
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    artefact = _choose(folder, manifest, candidates(manifest, target, precision), threads, calibrate)
    with ExitStack() as on_error:
        backend = open_artefact(folder, artefact, manifest.input, manifest.hierarchy, threads=threads)
        on_error.callback(backend.close)
        if verify:
            check_golden(backend, artefact, manifest, read_golden(folder, manifest))
        on_error.pop_all()
    return Model(manifest, artefact, backend)


def _choose(folder: Path, manifest: Manifest, choices: list[Artefact], threads: int, calibrate: bool) -> Artefact:
    if len(choices) == 1:
        return choices[0]
    from hkd_edge_runtime.calibration import calibrated, remembered

    if known := remembered(folder, choices, threads):
        return known
    return calibrated(folder, manifest, choices, threads) if calibrate else choices[0]


def open_artefact(
    folder: Path, artefact: Artefact, spec: InputSpec, hierarchy: Hierarchy, *, threads: int = 1
) -> Backend:
    """The backend with `artefact` of the bundle `folder` open, if it takes `spec` and answers for `hierarchy`.

    Raises:
        BundleError: if the file is broken or of other sizes.
        MissingBackendError: if its runtime is not installed, or is unknown to this version.
        ValueError: for threads < 1.
    """
    backend = backend_class(artefact.target)()
    with ExitStack() as on_error:
        on_error.callback(backend.close)
        backend.open(folder / artefact.files[0].path, threads=threads)
        _check_sizes(backend, artefact, spec, hierarchy)
        on_error.pop_all()
    return backend


def _check_sizes(backend: Backend, artefact: Artefact, spec: InputSpec, hierarchy: Hierarchy) -> None:
    if backend.input_shape != spec.shape:
        raise BundleError(
            f"{artefact.title}: expected images of {spec.shape} (H, W, C) as in the manifest, the file takes "
            f"{backend.input_shape}. Export the bundle again."
        )
    # Running a blank image is the way to learn the sizes of the outputs that works on every runtime.
    outputs = backend.run(np.zeros((1, *spec.shape), np.uint8))
    classes, concepts = hierarchy.membership().shape
    expected = [(1, classes), (1, classes), (1, concepts)]
    actual = [outputs.logits.shape, outputs.probabilities.shape, outputs.concept_probabilities.shape]
    if actual != expected:
        raise BundleError(
            f"{artefact.title}: expected logits, probabilities and concept probabilities of {expected} as in "
            f"the manifest, the file gives {actual}. Export the bundle again."
        )
