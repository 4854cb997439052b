"""Arrays from the .npz files of a bundle: checked, and never unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime.errors import BundleError


def read_arrays(path: Path, content: str) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an .npz file by name; `content` is what messages say that it should hold.

    Raises:
        BundleError: if the file is no such archive, or holds something else than numbers.
    """
    # numpy would take a bare .npy or a pickle for what it is; only an archive is wanted here.
    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path}: expected {content} as .npz, got another file. Export the bundle again.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path}: expected arrays of numbers: {error}. Export the bundle again.") from error


def take_array(
    path: Path,
    arrays: Mapping[str, npt.NDArray[Any]],
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    count: int | None = None,
) -> npt.NDArray[Any]:
    """The array `name` of the file `path`, if it has `dtype` and the shape (G, *shape) with G >= 1, or G = `count`.

    Raises:
        BundleError: saying what was expected and what the file holds.
    """
    if name not in arrays:
        raise BundleError(f"{path}: expected the array {name!r}, got {sorted(arrays)}. Export the bundle again.")
    array = arrays[name]
    length_fits = len(array.shape) > 0 and len(array) >= 1 and count in (None, len(array))
    if array.dtype.name != dtype or array.shape[1:] != shape or not length_fits:
        expected = ", ".join(map(str, (count or "G", *shape)))
        raise BundleError(
            f"{path}: {name}: expected {dtype} ({expected}) with G >= 1, "
            f"got {array.dtype} {array.shape}. Export the bundle again."
        )
    return array
