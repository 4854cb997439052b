"""From an image file or array to the pixels that a model takes: uint8 (H, W, C).

Files are fitted to the model: turned upright by their EXIF tag, 16-bit grey scaled to 8, transparency laid on
black, converted to grey (ITU-R 601 luma) or RGB, and resized to the model's size whatever the aspect ratio.
Arrays are taken as they are and must fit already; `fit_image` does for them what is done for files.
Normalisation is no part of it: that is inside the model.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hkd_edge_runtime.backends.base import check_dtype, check_image
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
_ORDERS = ("rgb", "bgr")


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
        check_dtype(sources)
        with_channel = sources[..., np.newaxis] if sources.ndim == 3 and spec.channels == 1 else sources
        if with_channel.ndim != 4 or with_channel.shape[1:] != spec.shape:
            raise InputError(
                f"image: expected shape (N, {', '.join(map(str, spec.shape))}), got {sources.shape}. "
                "Check size and channels, or fit them with fit_image; files are resized."
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
    return _read(os.fspath(path), str(path), spec)


def read_image_bytes(
    content: bytes,
    spec: InputSpec,
    *,
    name: str = "image",
    formats: Sequence[str] | None = None,
    max_pixels: int | None = None,
) -> Pixels:
    """The pixels (H, W, C) of an image file's bytes, fitted to the model as `read_image` does.

    Args:
        name: how messages call it.
        formats: the file formats to take, as Pillow names them (`JPEG`, `PNG`); None takes all. Name them where
            strangers send the files: some of Pillow's rarer formats start other programs.
        max_pixels: refuse larger pictures before they are decoded; a small file can hold a huge one.

    Raises:
        InputError: as `read_image`, and for another format or too many pixels.
        MissingBackendError: if Pillow is not installed.
    """
    return _read(io.BytesIO(content), name, spec, formats, max_pixels)


def fit_image(array: Pixels, spec: InputSpec, *, order: Literal["rgb", "bgr"] = "rgb") -> Pixels:
    """The pixels (H, W, C) of a uint8 array of any size, for example a camera's frame, fitted as a file is.

    Args:
        array: (h, w), or (h, w, c) with c = 1 (grey), 3 (colour) or 4 (colour and opacity).
        order: of its colours; OpenCV's frames are `bgr`.

    Raises:
        InputError: for another dtype or shape.
        MissingBackendError: if Pillow is not installed.
        ValueError: for another order.
    """
    if order not in _ORDERS:
        raise ValueError(f"order: expected one of {', '.join(_ORDERS)}, got {order!r}.")
    _check_picture(array)
    pillow = import_package("PIL.Image", PILLOW)
    return _as_pixels(_fit(_to_pillow(array, order, pillow), None, spec, pillow), spec)


def _to_pillow(array: Pixels, order: str, pillow: Any) -> Any:
    if array.ndim == 3 and array.shape[2] == 1:
        return pillow.fromarray(array[..., 0])
    if array.ndim == 2 or order == "rgb":
        return pillow.fromarray(array)
    # Pillow swaps the colours while it copies; numpy would take five times as long for it.
    mode = "RGBA"[: array.shape[2]]
    size = (array.shape[1], array.shape[0])
    return pillow.frombuffer(mode, size, np.ascontiguousarray(array), "raw", mode.replace("RGB", "BGR"), 0, 1)


def _read(
    source: str | io.BytesIO,
    name: str,
    spec: InputSpec,
    formats: Sequence[str] | None = None,
    max_pixels: int | None = None,
) -> Pixels:
    pillow = import_package("PIL.Image", PILLOW)
    try:
        with pillow.open(source, formats=formats) as image:
            _check_pixels(name, image.size, max_pixels)
            upright = import_package("PIL.ImageOps", PILLOW).exif_transpose(image)
            fitted = _fit(upright, image.format, spec, pillow)
    except pillow.UnidentifiedImageError as error:
        # Pillow's own words end with the address of the object that it read.
        accepted = f" (out of {', '.join(formats)})" if formats else ""
        raise InputError(
            f"{name}: expected an image file that Pillow can read: cannot identify its format{accepted}."
        ) from error
    except (*_UNREADABLE, pillow.DecompressionBombError) as error:
        raise InputError(f"{name}: expected an image file that Pillow can read: {error}.") from error
    return _as_pixels(fitted, spec)


def _as_pixels(fitted: Any, spec: InputSpec) -> Pixels:
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


def _check_picture(array: object) -> None:
    if not isinstance(array, np.ndarray):
        raise InputError(f"image: expected a uint8 array, got {type(array).__name__}.")
    check_dtype(array)
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise InputError(f"image: expected shape (h, w) or (h, w, 1, 3 or 4), got {array.shape}. Give one picture.")


def _check_pixels(name: str, size: tuple[int, int], max_pixels: int | None) -> None:
    width, height = size
    if max_pixels is not None and width * height > max_pixels:
        raise InputError(
            f"{name}: expected at most {max_pixels} pixels, got {width} x {height} = {width * height}. "
            "Send a smaller picture."
        )
