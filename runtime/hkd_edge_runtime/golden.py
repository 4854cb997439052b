"""Golden images: what each artefact answered when the bundle was made, compared with what it answers here.

The .npz file holds `images`, uint8 (G, H, W, C), and for each artefact `probabilities/<target>/<precision>`,
float32 (G, classes).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hkd_edge_runtime.arrays import read_arrays, take_array
from hkd_edge_runtime.backends.base import Backend
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.manifest import Artefact, Manifest

if TYPE_CHECKING:
    import numpy.typing as npt

IMAGES = "images"


@dataclass(frozen=True, eq=False)
class GoldenSet:
    """The content of the golden file; `probabilities` by the title of the artefact (`onnxruntime int8`)."""

    images: npt.NDArray[np.uint8]
    probabilities: Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class GoldenResult:
    """One artefact compared with its golden probabilities.

    Attributes:
        images: how many were compared.
        max_difference: the largest |difference| of a probability, 0 to 1.
        tolerance: how large that may be.
    """

    target: str
    precision: str
    images: int
    max_difference: float
    tolerance: float


def golden_key(target: str, precision: str) -> str:
    """The name of an artefact's probabilities in the golden file."""
    return f"probabilities/{target}/{precision}"


def read_golden(folder: str | os.PathLike[str], manifest: Manifest) -> GoldenSet:
    """The golden images and probabilities of a bundle.

    Raises:
        BundleError: if the file is no such .npz, or an array is missing or of another dtype or shape.
    """
    path = Path(folder) / manifest.golden.file.path
    content = read_arrays(path, "golden images")
    images = take_array(path, content, IMAGES, "uint8", manifest.input.shape)
    probabilities = {
        each.title: take_array(
            path,
            content,
            golden_key(each.target, each.precision),
            "float32",
            (len(manifest.labels),),
            len(images),
        )
        for each in manifest.artefacts
    }
    return GoldenSet(images, probabilities)


def check_golden(backend: Backend, artefact: Artefact, manifest: Manifest, golden: GoldenSet) -> GoldenResult:
    """Runs the golden images through the open `backend` and compares the probabilities.

    Raises:
        BundleError: if one lies further from its stored value than the manifest tolerates, or is NaN.
    """
    expected = golden.probabilities[artefact.title]
    # One image and many may take different ways through a runtime, so both are compared.
    parts = [part for part in (golden.images[:1], golden.images[1:]) if len(part)]
    actual = np.concatenate([backend.run(part).probabilities for part in parts])
    tolerance = manifest.golden.tolerance_of(artefact)
    max_difference = float(np.abs(actual - expected).max())
    # Written so that NaN fails as well.
    if not max_difference <= tolerance:
        raise BundleError(
            f"{artefact.title}: expected the golden probabilities to within {tolerance:g}, got a difference "
            f"of {max_difference:g} on {backend.name} {backend.version()}. Take another artefact here."
        )
    return GoldenResult(artefact.target, artefact.precision, len(expected), max_difference, tolerance)
