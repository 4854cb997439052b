"""Puts the artefacts of one model into a bundle: the folder that goes to the board."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hkd_edge_export.errors import ExportError
from hkd_edge_runtime import __version__
from hkd_edge_runtime.evaluation import LABELS, EvaluationSet
from hkd_edge_runtime.files import copy_atomically, write_atomically
from hkd_edge_runtime.golden import IMAGES, golden_key
from hkd_edge_runtime.hierarchy import Hierarchy
from hkd_edge_runtime.manifest import (
    MANIFEST_NAME,
    Artefact,
    Golden,
    InputSpec,
    Manifest,
    file_entry,
    write_manifest,
)
from hkd_edge_runtime.session import open_artefact
from hkd_edge_runtime.verify import VerifyReport, verify_bundle

CREATED_BY = f"hkd-edge {__version__}"
GOLDEN_NAME = "golden.npz"
EVALUATION_NAME = "evaluation.npz"

# How far a probability may move on another machine. fp32: sums in another order. fp16: three decimal digits.
# int8: one step of the quantized logits (up to 0.2) times the steepest slope of the softmax (1/4).
DEFAULT_TOLERANCE: Mapping[str, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 5e-2}


@dataclass(frozen=True)
class ArtefactSource:
    """An artefact that lies somewhere on this machine.

    Attributes:
        files: the first is the one that `target` opens; they keep their names and come to lie in one folder.
        shipped: False if it missed its limits; `reason` then says which.
        metrics: numbers by name with their unit in it; `p50_ms` decides what `auto` opens.
    """

    target: str
    precision: str
    files: tuple[Path, ...]
    shipped: bool = True
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class BundleDescription:
    """All that goes into a bundle.

    Attributes:
        golden_images: uint8 (G, H, W, C) with G >= 1, real images of the task.
        tolerance: by precision, how far a probability may lie from the golden one on another machine.
        metrics: numbers about the model as a whole.
        provenance: free JSON: recipe, seeds, versions, checksums of the data.
        evaluation: labelled test images by which a board measures its accuracy, or none.
    """

    name: str
    input: InputSpec
    hierarchy: Hierarchy
    artefacts: tuple[ArtefactSource, ...]
    golden_images: npt.NDArray[np.uint8]
    metrics: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_TOLERANCE))
    evaluation: EvaluationSet | None = None


def write_bundle(folder: Path, description: BundleDescription, *, threads: int = 1) -> VerifyReport:
    """Writes the bundle `folder` and returns what its verification compared.

    It is built and verified in a folder beside it; only then does it take the place of an older bundle. The
    golden probabilities are those of the copied files, run by the backends that the board uses, so every
    target must be installed here.

    Raises:
        ExportError: if `folder` is something else than a bundle, a file is missing, or two files of an
            artefact share a name.
        BundleError: if an artefact does not run or is not as described. An older bundle then stays.
        MissingBackendError: if the runtime of a target is not installed here.
        ValueError: for golden images of another dtype or shape, or names that a manifest cannot hold.
    """
    folder = folder.resolve()
    _check_replaceable(folder)
    _check_golden_images(description)
    with _replacing(folder) as new:
        artefacts = tuple(_copy_artefact(source, new) for source in description.artefacts)
        _write_golden(new, description, artefacts, threads)
        _write_evaluation(new, description)
        write_manifest(new, _manifest(new, description, artefacts))
        return verify_bundle(new, threads=threads)


def _manifest(folder: Path, description: BundleDescription, artefacts: tuple[Artefact, ...]) -> Manifest:
    return Manifest(
        name=description.name,
        created_by=CREATED_BY,
        input=description.input,
        hierarchy=description.hierarchy,
        artefacts=artefacts,
        golden=Golden(file_entry(folder, GOLDEN_NAME), description.tolerance),
        metrics=description.metrics,
        provenance=description.provenance,
        evaluation=file_entry(folder, EVALUATION_NAME) if description.evaluation else None,
    )


def _copy_artefact(source: ArtefactSource, folder: Path) -> Artefact:
    names = [path.name for path in source.files]
    if len(set(names)) < len(names):
        raise ExportError(
            f"{source.target} {source.precision}: expected files of different names, got {', '.join(names)}. "
            "Rename one; they come to lie in one folder."
        )
    place = f"artefacts/{source.target}-{source.precision}"
    (folder / place).mkdir(parents=True)
    for path in source.files:
        _copy(path, folder / place / path.name)
    entries = tuple(file_entry(folder, f"{place}/{name}") for name in names)
    return Artefact(source.target, source.precision, entries, source.shipped, source.reason, dict(source.metrics))


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise ExportError(f"{source}: expected a file of an artefact, found none. Export it first.")
    copy_atomically(source, target)


def _write_golden(folder: Path, description: BundleDescription, artefacts: tuple[Artefact, ...], threads: int) -> None:
    arrays: dict[str, Any] = {IMAGES: description.golden_images}
    for artefact in artefacts:
        backend = open_artefact(folder, artefact, description.input, description.hierarchy, threads=threads)
        try:
            probabilities = backend.run(description.golden_images).probabilities
        finally:
            backend.close()
        arrays[golden_key(artefact.target, artefact.precision)] = probabilities
    with write_atomically(folder / GOLDEN_NAME) as temporary:
        np.savez_compressed(temporary, **arrays)


def _write_evaluation(folder: Path, description: BundleDescription) -> None:
    if description.evaluation:
        arrays: dict[str, Any] = {IMAGES: description.evaluation.images, LABELS: description.evaluation.labels}
        with write_atomically(folder / EVALUATION_NAME) as temporary:
            np.savez_compressed(temporary, **arrays)


def _check_golden_images(description: BundleDescription) -> None:
    images, shape = description.golden_images, description.input.shape
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape or len(images) == 0:
        raise ValueError(
            f"golden_images: expected uint8 (G, {', '.join(map(str, shape))}) with G >= 1, "
            f"got {images.dtype} {images.shape}."
        )


def _check_replaceable(folder: Path) -> None:
    is_bundle = folder.is_dir() and ((folder / MANIFEST_NAME).is_file() or not any(folder.iterdir()))
    if folder.exists() and not is_bundle:
        raise ExportError(
            f"{folder}: expected a new folder or an older bundle, got something else, which stays. "
            "Choose another folder."
        )


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` that takes its place when the block ends without an error."""
    token = secrets.token_hex(6)
    new = folder.with_name(f".{folder.name}.{token}.new")
    old = folder.with_name(f".{folder.name}.{token}.old")
    new.mkdir(parents=True)
    try:
        yield new
        # A folder cannot be renamed onto a full one, so the old bundle steps aside for a moment.
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        # Interrupted between the two renames: the old bundle goes back to its place.
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
