"""From a bundle to answers: load it, pick an artefact, predict."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from hkd_edge_runtime.backends import Backend, Outputs, backend_class
from hkd_edge_runtime.decode import Answer, decode
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.preprocess import to_batch, to_pixels
from hkd_edge_runtime.selection import AUTO, candidates, contenders

if TYPE_CHECKING:
    from pathlib import Path

    from hkd_edge_runtime.bundle import Bundle
    from hkd_edge_runtime.golden_memory import When
    from hkd_edge_runtime.hierarchy import Hierarchy
    from hkd_edge_runtime.manifest import Artefact, InputSpec, Manifest
    from hkd_edge_runtime.preprocess import ImageSource, Pixels
    from hkd_edge_runtime.signature import PublicKey


class Model:
    """An open artefact of a bundle; made by `load`. Close it, or use it in a `with` block.

    One thread at a time may use it: load one per thread, or hold a lock around each call. A second thread gets a
    BusyModelError.

    Attributes:
        manifest: what the bundle says about itself.
        artefact: the artefact that is open.
        digest: the SHA-256 of the bundle's manifest, which holds those of all its files; the same for a folder and its
            .hkd file, with and without a signature. 64 hex digits.
    """

    def __init__(self, manifest: Manifest, digest: str, artefact: Artefact, backend: Backend, held: ExitStack) -> None:
        self.manifest = manifest
        self.digest = digest
        self.artefact = artefact
        self._backend = backend
        self._held = held
        self._hierarchy = manifest.hierarchy
        self._confidence = artefact.confidence
        answer = partial(Answer, self._hierarchy, self._confidence)
        self._predict = backend.one_image(answer, partial(to_pixels, spec=manifest.input))
        # In the place of the method, whose frame would cost another 0.4 us in each call.
        self.predict = self._predict  # type: ignore[method-assign, assignment]

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
        return self._predict(image)

    def predict_batch(self, images: Pixels | Sequence[ImageSource]) -> list[Answer]:
        """The answers for a uint8 array (N, H, W[, C]), or for N paths and arrays.

        All run as one batch, or in parts where the runtime takes no batch of N.

        Raises:
            InputError: as `predict`, and for an empty batch.
            ClosedModelError, BusyModelError: as `predict`.
            BundleError: if a probability is not a number, which only a broken artefact or runtime gives.
        """
        return decode(self.run(to_batch(images, self.manifest.input)), self._hierarchy, self._confidence)

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
                yield from decode(self.run(batch), self._hierarchy, self._confidence)

    def run(self, images: Pixels) -> Outputs:
        """The bare outputs for uint8 (N, H, W, C), for callers that do their own decoding.

        Raises:
            InputError: for another dtype or shape.
            ClosedModelError, BusyModelError: as `predict`.
        """
        return self._backend.run(images)

    def close(self) -> None:
        """Frees the model and what was unpacked for it; a second call does nothing.

        Raises:
            BusyModelError: if another thread is using the model, which then stays open.
        """
        self._backend.close()
        self._held.close()

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
    verify: When = "once",
    require_signature: PublicKey | None = None,
    calibrate: bool = False,
) -> Model:
    """The model of the bundle at `path`, a folder or an .hkd file, checked and ready to predict.

    The checksums of all files are always compared. Which artefact is opened is told at `candidates`: its first, or the
    one that `calibrate` found to be the fastest on this machine.

    Args:
        target: `onnxruntime`, `openvino`, `tensorrt` (or an alias: `ort`, `ov`, `trt`), or `auto`.
        precision: `fp32`, `int8`, ..., or `auto`.
        threads: how many the runtime may use; one is best for small models.
        verify: also run the golden images on the opened artefact and compare with the stored probabilities: "once"
            on each machine (see `golden_memory`), True always, False never.
        require_signature: the public key, a PEM file or its bytes, by which the bundle must be signed.
        calibrate: measure the artefacts to choose from (see `contenders`), unless that was done before, and remember
            the fastest for this and later loads (with or without `calibrate`) of this bundle with these versions,
            threads, target and precision. Their golden images are run whatever `verify` says.

    Raises:
        BundleError: if the bundle is damaged, not signed as required, lacks what was asked for, or fails `verify`.
        KeyFileError: if `require_signature` is no public key.
        MissingBackendError: if the runtime that it needs is not installed.
        ValueError: for threads < 1, or another `verify`.
    """
    # Here, as they are three quarters of the package's import time, and a program that only offers to classify, such
    # as a command line that prints its help, need not wait for them.
    from hkd_edge_runtime.bundle import open_bundle
    from hkd_edge_runtime.golden_memory import ensure_golden

    with ExitStack() as held:
        bundle = held.enter_context(open_bundle(path, require_signature))
        manifest = bundle.manifest
        artefact = _choose(bundle, target, precision, threads, calibrate)
        folder = bundle.place(*artefact.files)
        backend = open_artefact(folder, artefact, manifest.input, manifest.hierarchy, threads=threads)
        with ExitStack() as on_error:
            on_error.callback(backend.close)
            ensure_golden(backend, artefact, bundle, threads=threads, verify=verify)
            on_error.pop_all()
        return Model(manifest, bundle.digest, artefact, backend, held.pop_all())


def _choose(bundle: Bundle, target: str, precision: str, threads: int, calibrate: bool) -> Artefact:
    from hkd_edge_runtime import calibration
    from hkd_edge_runtime.cache import is_empty

    # Without a memory there is no need to ask which GPU is there, which takes longer than the rest of a load.
    if AUTO in (target, precision) and (calibrate or not is_empty(calibration.KIND)):
        choices = contenders(bundle.manifest, target, precision)
        if known := calibration.remembered(bundle, choices, threads):
            return known
        if calibrate and (len(choices) > 1 or not choices[0].shipped):
            return calibration.calibrated(bundle, choices, threads)
    return candidates(bundle.manifest, target, precision)[0]


def open_artefact(
    folder: Path,
    artefact: Artefact,
    spec: InputSpec,
    hierarchy: Hierarchy,
    *,
    threads: int = 1,
    backend: Backend | None = None,
) -> Backend:
    """The backend with `artefact` of the bundle `folder` open, if it takes `spec` and answers for `hierarchy`.

    It is that of the artefact's target, or `backend` in its place.

    Raises:
        BundleError: if the file is broken or of other sizes.
        MissingBackendError: if its runtime is not installed, or is unknown to this version.
        ValueError: for threads < 1.
    """
    if backend is None:
        backend = backend_class(artefact.target).for_artefact(artefact)
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
