"""What a backend does: open a file, run batches through it, close it. Public methods check, hooks compute."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime.errors import BundleError, ClosedModelError, InputError
from hkd_edge_runtime.packages import is_installed

if TYPE_CHECKING:
    from hkd_edge_runtime.manifest import Artefact

INPUT = "images"
LOGITS = "logits"
PROBABILITIES = "probabilities"
CONCEPT_PROBABILITIES = "concept_probabilities"


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a model answers for N images: C classes, K concepts of all axes side by side (K = 0 without axes).

    Attributes:
        logits: (N, C) float32.
        probabilities: (N, C) float32, the softmax of the logits.
        concept_probabilities: (N, K) float32, the mass on each concept's classes, not renormalised.
    """

    logits: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    concept_probabilities: npt.NDArray[np.float32]


class Backend(ABC):
    """An inference runtime with one model open, or none. Not safe to use from several threads at once.

    Attributes:
        name: the `target` of the artefacts that it opens.
        package: the module that it imports when it opens a file.
        requirement: what pip is given to install that.
        max_batch: the most images that one call of the runtime takes; larger batches are split. None: any number.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    requirement: ClassVar[str]

    def __init__(self) -> None:
        self._shape: tuple[int, int, int] | None = None
        self.max_batch: int | None = None

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
        """
        if threads < 1:
            raise ValueError(f"threads: expected a number >= 1, got {threads}.")
        self.close()
        self._shape = self._open(path, threads)

    def run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        """The outputs for `images`, uint8 (N, H, W, C) with N >= 1.

        Raises:
            ClosedModelError: if no model is open.
            InputError: for another dtype or shape.
        """
        check_batch(images, self.input_shape)
        images = np.ascontiguousarray(images)
        if self.max_batch is None or len(images) <= self.max_batch:
            return self._run(images)
        starts = range(0, len(images), self.max_batch)
        return _joined([self._run(images[start : start + self.max_batch]) for start in starts])

    def close(self) -> None:
        """Frees the model; a second call does nothing."""
        self._shape = None
        self._close()

    @abstractmethod
    def _open(self, path: Path, threads: int) -> tuple[int, int, int]:
        """Opens the file and returns (H, W, C) of its input."""

    @abstractmethod
    def _run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        """Runs a checked, contiguous batch; the arrays that it returns belong to the caller."""

    @abstractmethod
    def _close(self) -> None:
        """Frees what `_open` made; also called when nothing is open."""


def _joined(parts: list[Outputs]) -> Outputs:
    return Outputs(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.concept_probabilities for part in parts]),
    )


def check_batch(images: object, shape: tuple[int, int, int]) -> None:
    """Refuses all but uint8 arrays (N, *shape) with N >= 1.

    Raises:
        InputError: saying what was expected and what arrived.
    """
    if not isinstance(images, np.ndarray):
        raise InputError(f"images: {_expected(shape)}, got {type(images).__name__}. Convert it with numpy.")
    if images.dtype != np.uint8:
        raise InputError(
            f"images: {_expected(shape)}, got dtype {images.dtype}. "
            "Give pixels from 0 to 255; the model normalises them."
        )
    if images.ndim != 4 or images.shape[1:] != shape:
        raise InputError(
            f"images: {_expected(shape)}, got shape {images.shape}. Check size, channels and layout (NHWC)."
        )
    if len(images) == 0:
        raise InputError(f"images: {_expected(shape)} with N >= 1, got an empty batch. Give at least one image.")


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
