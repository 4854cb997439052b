"""From an image file or array to the pixels that a model takes: uint8 (H, W, C).

Files are fitted to the model: turned upright by their EXIF tag, 16-bit grey scaled to 8, transparency laid on
black, converted to grey (ITU-R 601 luma) or RGB, and resized to the model's size whatever the aspect ratio.
Arrays are taken as they are and must fit already. Normalisation is no part of it: that is inside the model.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hkd_edge_runtime.backends.base import UINT8, check_image, pixel_advice
from hkd_edge_runtime.errors import InputError
from hkd_edge_runtime.packages import import_package

if TYPE_CHECKING:
    import numpy.typing as npt

    from hkd_edge_runtime.manifest import InputSpec

    Pixels = npt.NDArray[np.uint8]
    ImageSource = str | os.PathLike[str] | Pixels

PILLOW = "pillow>=10"
# 65535 / 255: the whole 16-bit range onto the whole 8-bit range.
SIXTEEN_TO_EIGHT_BIT = 257
# What Pillow raises for broken files, format by format.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error)


def to_pixels(source: ImageSource, spec: InputSpec) -> Pixels:
    """The pixels (H, W, C) of a path, or of a uint8 array (H, W, C); (H, W) will do for a grey model.

    Raises:
        InputError: for what is no image, or an array of another dtype or shape.
        MissingBackendError: for a path when Pillow is not installed.
    """
    if isinstance(source, str | os.PathLike):
        return read_image(source, spec)
    return check_array(source, spec)


def to_batch(sources: Pixels | Sequence[ImageSource], spec: InputSpec) -> Pixels:
    """The pixels (N, H, W, C) of a uint8 array (N, H, W[, C]), or of N paths and arrays.

    Raises:
        InputError: as `to_pixels`, and for an empty batch.
        MissingBackendError: as `to_pixels`.
    """
    if isinstance(sources, np.ndarray):
        if sources.dtype != UINT8:
            raise InputError(f"image: expected dtype uint8, got {sources.dtype}. {pixel_advice(sources.dtype)}")
        with_channel = sources[..., np.newaxis] if sources.ndim == 3 and spec.channels == 1 else sources
        if with_channel.ndim != 4 or with_channel.shape[1:] != spec.shape:
            raise InputError(
                f"image: expected shape (N, {', '.join(map(str, spec.shape))}), got {sources.shape}. "
                "Check size and channels, or give paths: files are resized."
            )
        if len(sources) == 0:
            raise InputError("images: expected at least one image, got an empty batch.")
        return with_channel
    if isinstance(sources, str | os.PathLike) or not isinstance(sources, Sequence):
        raise InputError(
            f"images: expected a uint8 array (N, H, W, C) or a list of paths and arrays, got "
            f"{type(sources).__name__}. For one image call predict."
        )
    if len(sources) == 0:
        raise InputError("images: expected at least one image, got an empty batch.")
    return np.stack([to_pixels(source, spec) for source in sources])


def check_array(image: object, spec: InputSpec) -> Pixels:
    """`image` itself as (H, W, C), if it is a uint8 array of the model's size.

    Raises:
        InputError: saying what was expected and what arrived.
    """
    return check_image(image, spec.shape)


def read_image(path: str | os.PathLike[str], spec: InputSpec) -> Pixels:
    """The pixels (H, W, C) of an image file, fitted to the model as this module's head says.

    Raises:
        InputError: if the file is missing, not an image, broken, or of a pixel type without a known range.
        MissingBackendError: if Pillow is not installed.
    """
    pillow = import_package("PIL.Image", PILLOW)
    try:
        with pillow.open(os.fspath(path)) as image:
            upright = import_package("PIL.ImageOps", PILLOW).exif_transpose(image)
            fitted = _fit(upright, image.format, spec, pillow)
    except (*_UNREADABLE, pillow.DecompressionBombError) as error:
        raise InputError(f"{path}: expected an image file that Pillow can read: {error}.") from error
    return np.array(fitted, dtype=np.uint8).reshape(spec.shape)


def _fit(image: Any, file_format: str | None, spec: InputSpec, pillow: Any) -> Any:
    opaque = _on_black(_to_eight_bit(image, file_format, pillow), pillow)
    coloured = opaque.convert("L" if spec.color == "grey" else "RGB")
    size = (spec.width, spec.height)
    if coloured.size == size:
        return coloured
    return coloured.resize(size, getattr(pillow.Resampling, spec.resize.upper()))


def _to_eight_bit(image: Any, file_format: str | None, pillow: Any) -> Any:
    # Pillow's own conversion clips 16 bits at 255, which turns nearly every picture white. Mode I has 32,
    # of which older Pillows use 16 for PNG; in other formats nobody knows which value is white.
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format == "PNG"):
        wide = np.asarray(image).astype(np.uint32)
        rounded = (wide + SIXTEEN_TO_EIGHT_BIT // 2) // SIXTEEN_TO_EIGHT_BIT
        return pillow.fromarray(rounded.astype(np.uint8))
    if image.mode in ("I", "F"):
        raise InputError(f"image: expected 8 or 16 bits per channel, got 32 (mode {image.mode!r}). Save it as PNG.")
    return image


def _on_black(image: Any, pillow: Any) -> Any:
    if not image.mode.lower().endswith("a") and "transparency" not in image.info:
        return image
    coloured = image.convert("RGBA")
    # Merely dropping the alpha channel would show whatever colour a painter left under the transparency.
    black = pillow.new("RGBA", coloured.size, (0, 0, 0, 255))
    return pillow.alpha_composite(black, coloured)
