"""What a backend does: open a file, run batches through it, close it. Public methods check, hooks compute."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy import ndarray

from hkd_edge_runtime.errors import BundleError, BusyModelError, ClosedModelError, InputError
from hkd_edge_runtime.packages import is_installed

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from hkd_edge_runtime.manifest import Artefact

INPUT = "images"
LOGITS = "logits"
PROBABILITIES = "probabilities"
CONCEPT_PROBABILITIES = "concept_probabilities"
OUTPUTS = (LOGITS, PROBABILITIES, CONCEPT_PROBABILITIES)
UINT8 = np.dtype(np.uint8)

_T = TypeVar("_T")
# What a call with one image needs: where its pixels go, what runs the model, what reads the outputs, shapes that fit.
_Ready = tuple[memoryview, Callable[[], object], Callable[[], bytes], tuple[tuple[int, ...], ...]]
# No image fits.
_NOT_READY: _Ready = (memoryview(b""), object, bytes, ())


class Outputs(NamedTuple):
    """What a model answers for N images: C classes, K concepts of all axes side by side (K = 0 without axes).

    Attributes:
        logits: (N, C) float32.
        probabilities: (N, C) float32, the softmax of the logits.
        concept_probabilities: (N, K) float32, the mass on each concept's classes, not renormalised.
    """

    logits: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    concept_probabilities: npt.NDArray[np.float32]


def outputs_of(arrays: Iterable[npt.NDArray[np.float32]]) -> Outputs:
    """The outputs in the order of `OUTPUTS`, of which a model without axes lacks the last."""
    logits, probabilities, *concepts = arrays
    return Outputs(logits, probabilities, concepts[0] if concepts else np.empty((len(logits), 0), np.float32))


def joined(parts: Sequence[Outputs]) -> Outputs:
    """The outputs of several batches as those of one."""
    return parts[0] if len(parts) == 1 else Outputs(*map(np.concatenate, zip(*parts, strict=True)))


class Bound:
    """Arrays for one image at fixed places, which a runtime reads and writes without being given them in each call.

    Attributes:
        images: (1, H, W, C) uint8, the input.
        row: (2 C + K,) float32, all outputs: logits, probabilities, concept probabilities.
        outputs: views of `row` by the name of the output, (1, C) or (1, K).
        infer: runs the model once; the backend sets it when it has bound the arrays.
    """

    infer: Callable[[], object]

    def __init__(self, shape: tuple[int, int, int], classes: int, concepts: int) -> None:
        self.images: npt.NDArray[np.uint8] = np.zeros((1, *shape), np.uint8)
        self.row: npt.NDArray[np.float32] = np.zeros(2 * classes + concepts, np.float32)
        parts = np.split(self.row[np.newaxis], (classes, 2 * classes), axis=1)
        self.outputs: Mapping[str, npt.NDArray[np.float32]] = dict(zip(OUTPUTS, parts, strict=True))


class Backend(ABC):
    """An inference runtime with one model open, or none. One thread at a time may use it; a second one is refused.

    Attributes:
        name: the `target` of the artefacts that it opens.
        package: the module that it imports when it opens a file.
        requirement: what pip is given to install that.
        max_batch: the most images that `_run` takes, None for any number; `run` splits larger batches.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    requirement: ClassVar[str]
    max_batch: int | None = None

    def __init__(self) -> None:
        self._ready = _NOT_READY
        # Who pops the only turn may run, and then puts `_ready` back. Lists pop and append atomically, and for a third
        # of what a lock takes.
        self._turns = [self._ready]
        self._shape: tuple[int, int, int] | None = None
        self._bound: Bound | None = None

    @classmethod
    def for_artefact(cls, artefact: Artefact) -> Backend:
        """A backend with whatever the manifest says of `artefact` beyond its file."""
        return cls()

    @classmethod
    def is_installed(cls) -> bool:
        """Whether the runtime can open files here, as far as can be told without importing it."""
        return cls.missing_reason() is None

    @classmethod
    def missing_reason(cls) -> str | None:
        """Why it cannot, and what to do; None if it can."""
        if is_installed(cls.package):
            return None
        return f'expected a runtime for {cls.name} to be installed, found none. Run: pip install "{cls.requirement}"'

    @classmethod
    def device(cls) -> str:
        """What it computes on, if that is not the processor; empty if it is."""
        return ""

    @abstractmethod
    def version(self) -> str:
        """The version of the runtime."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that the open model takes.

        Raises:
            ClosedModelError: if none is open.
        """
        if self._shape is None:
            raise ClosedModelError(f"expected an open model on {self.name}, got a closed one. Open it again.")
        return self._shape

    def open(self, path: Path, *, threads: int = 1) -> None:
        """Opens the model at `path`, in the place of the one that was open.

        Raises:
            ValueError: for threads < 1.
            MissingBackendError: if the runtime is not installed.
            BundleError: if the file is not a model, or breaks the contract (uint8 NHWC in, `Outputs` out).
            BusyModelError: if another thread is inside this backend.
        """
        if threads < 1:
            raise ValueError(f"threads: expected a number >= 1, got {threads}.")
        self.close()
        with self._alone():
            self._shape = self._open(path, threads)

    def run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        """The outputs for `images`, uint8 (N, H, W, C) with N >= 1; the arrays belong to the caller.

        Raises:
            ClosedModelError: if no model is open.
            InputError: for another dtype or shape.
            BundleError: if the runtime refuses the model only now.
            BusyModelError: if another thread is inside this backend.
        """
        with self._alone():
            check_batch(images, self.input_shape)
            if len(images) == 1 and (bound := self._bound_arrays()):
                return self._run_bound(bound, images)
            limit = self.max_batch or len(images)
            starts = range(0, len(images), limit)
            return joined([self._run(np.ascontiguousarray(images[start : start + limit])) for start in starts])

    def run_one(self, image: npt.NDArray[np.uint8]) -> bytes:
        """All outputs for one image, uint8 (H, W, C) or for one channel (H, W), as the bytes of 2 C + K float32.

        They are the logits, probabilities and concept probabilities, one after the other.

        Raises:
            ClosedModelError, InputError, BundleError, BusyModelError: as `run`.
        """
        return self.one_image(bytes)(image)

    def one_image(
        self, answer: Callable[[bytes], _T], to_image: Callable[[Any], npt.NDArray[np.uint8]] | None = None
    ) -> Callable[[Any], _T]:
        """The fast `run_one`: a function that gives what `answer` makes of its bytes, for whatever model is open then.

        `to_image` may make an image of what is none; uint8 arrays of the right shape are not given to it.
        """
        pop, append = self._turns.pop, self._turns.append

        # One frame, with all that it needs at hand, no numpy but what reads the image, and bytes instead of arrays:
        # after a run the processor's caches hold the model, and code that has to be fetched again costs more than what
        # it does. Copying by numpy costs 2 us more.
        def run_one(image: Any) -> _T:
            try:
                ready = pop()
            except IndexError:
                raise self._busy() from None
            try:
                pixels, infer, read_row, shapes = ready
                if type(image) is ndarray and image.dtype is UINT8 and image.shape in shapes:
                    pixels[:] = image.tobytes()
                    infer()
                    return answer(read_row())
            finally:
                append(ready)
            return answer(self._run_other(image if to_image is None else to_image(image)))

        return run_one

    def close(self) -> None:
        """Frees the model; a second call does nothing.

        Raises:
            BusyModelError: if another thread is inside this backend.
        """
        with self._alone():
            self._shape = None
            self._bound, self._ready = None, _NOT_READY
            self._close()

    @abstractmethod
    def _open(self, path: Path, threads: int) -> tuple[int, int, int]:
        """Opens the file and returns (H, W, C) of its input."""

    @abstractmethod
    def _run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        """Runs a checked, contiguous batch; the arrays that it returns belong to the caller."""

    def _bind(self, shape: tuple[int, int, int]) -> Bound | None:
        """The open model bound to arrays for one image of `shape`; None if the runtime gains nothing by that.

        Called at the first single image; what it holds besides the `Bound` is for `_close` to free.
        """
        return None

    @abstractmethod
    def _close(self) -> None:
        """Frees what `_open` made; also called when nothing is open."""

    def _bound_arrays(self) -> Bound | None:
        if self._bound is None and (bound := self._bind(self.input_shape)):
            shape = self.input_shape
            shapes = (shape, shape[:2]) if shape[2] == 1 else (shape,)
            self._bound = bound
            self._ready = (bound.images.data.cast("B"), bound.infer, bound.row.tobytes, shapes)
        return self._bound

    def _run_bound(self, bound: Bound, images: npt.NDArray[np.uint8]) -> Outputs:
        bound.images[...] = images
        bound.infer()
        return Outputs(*(array.copy() for array in bound.outputs.values()))

    def _run_other(self, image: object) -> bytes:
        with self._alone():
            images = np.ascontiguousarray(check_image(image, self.input_shape)[np.newaxis])
            bound = self._bound_arrays()
            outputs = self._run(images) if bound is None else self._run_bound(bound, images)
            return np.concatenate(outputs, axis=1).tobytes()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._turns.pop()
        except IndexError:
            raise self._busy() from None
        try:
            yield
        finally:
            self._turns.append(self._ready)

    def _busy(self) -> BusyModelError:
        return BusyModelError(
            f"expected one thread at a time in a model on {self.name}, got a second one before the first was done. "
            "Load one model per thread, or hold a lock around each call."
        )


def check_batch(images: object, shape: tuple[int, int, int]) -> None:
    """Refuses all but uint8 arrays (N, *shape) with N >= 1.

    Raises:
        InputError: saying what was expected and what arrived.
    """
    if not isinstance(images, ndarray):
        raise InputError(f"images: {_expected(shape)}, got {type(images).__name__}. Convert it with numpy.")
    if images.dtype != UINT8:
        raise InputError(f"images: {_expected(shape)}, got dtype {images.dtype}. {pixel_advice(images.dtype)}")
    if images.ndim != 4 or images.shape[1:] != shape:
        raise InputError(
            f"images: {_expected(shape)}, got shape {images.shape}. Check size, channels and layout (NHWC)."
        )
    if len(images) == 0:
        raise InputError(f"images: {_expected(shape)} with N >= 1, got an empty batch. Give at least one image.")


def check_image(image: object, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """`image` itself as (H, W, C), if it is a uint8 array of `shape`, or for one channel (H, W).

    Raises:
        InputError: saying what was expected and what arrived.
    """
    if not isinstance(image, ndarray):
        raise InputError(f"image: expected a path or a uint8 array, got {type(image).__name__}.")
    check_dtype(image)
    with_channel = image[..., np.newaxis] if image.ndim == 2 and shape[2] == 1 else image
    if with_channel.shape != shape:
        raise InputError(
            f"image: expected shape {shape}, got {with_channel.shape}. "
            "Check size and channels, or fit it with fit_image; files are resized."
        )
    return with_channel


def check_dtype(image: npt.NDArray[Any]) -> None:
    """Refuses pixels that are not uint8.

    Raises:
        InputError: saying what was expected and what arrived.
    """
    if image.dtype != UINT8:
        raise InputError(f"image: expected dtype uint8, got {image.dtype}. {pixel_advice(image.dtype)}")


def pixel_advice(dtype: np.dtype[Any]) -> str:
    """What to do with an array of `dtype` that should hold pixels."""
    if dtype.kind == "f":
        return (
            "Give pixels from 0 to 255, not normalised: image.astype(np.uint8), or where they run from 0 to 1 "
            "(image * 255).round().astype(np.uint8)."
        )
    return "Give pixels from 0 to 255; the model normalises them."


def _expected(shape: tuple[int, int, int]) -> str:
    return f"expected a uint8 array (N, {', '.join(map(str, shape))})"


def check_contract(path: Path, inputs: dict[str, str], outputs: set[str]) -> None:
    """Refuses a model whose inputs (name -> dtype, as numpy names it) or output names are not the contract's.

    Raises:
        BundleError: naming what the model has instead.
    """
    if inputs != {INPUT: "uint8"}:
        raise BundleError(f"{path.name}: expected one input {INPUT!r} of uint8, got {inputs}. Export it again.")
    required = {LOGITS, PROBABILITIES}
    if outputs not in (required, required | {CONCEPT_PROBABILITIES}):
        raise BundleError(
            f"{path.name}: expected the outputs {LOGITS}, {PROBABILITIES} and perhaps "
            f"{CONCEPT_PROBABILITIES}, got {sorted(outputs)}. Export it again."
        )


def check_input_shape(path: Path, shape: list[int | None]) -> tuple[int, int, int]:
    """(H, W, C) of a model's input `shape`, in which None is a symbolic size.

    Raises:
        BundleError: unless it is (symbolic, H, W, C).
    """
    if len(shape) == 4 and shape[0] is None:
        _, height, width, channels = shape
        if height is not None and width is not None and channels is not None:
            return height, width, channels
    raise BundleError(
        f"{path.name}: expected an input of shape (batch, H, W, C) with only the batch open, got "
        f"{tuple('?' if size is None else size for size in shape)}. Export it again."
    )
