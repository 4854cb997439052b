"""Image files to pixels, many at a time, by the very function that the board uses; what is unreadable is listed."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hkd_edge.data.fit import input_spec
from hkd_edge.data.listing import Entry
from hkd_edge.data.memory import fits_into_memory, refuse_beyond_disk
from hkd_edge.data.stored import NewStore, Pixels, StoredImages
from hkd_edge_runtime.errors import InputError
from hkd_edge_runtime.files import write_atomically
from hkd_edge_runtime.manifest import InputSpec
from hkd_edge_runtime.preprocess import read_image_bytes

Tell = Callable[[str, int, int], None]  # what is done, how many pieces of it, and of how many
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
_ORIENTATION = 0x0112  # the EXIF tag
_LYING = (5, 6, 7, 8)  # orientations that swap width and height
_READ_ERRORS = (OSError, SyntaxError, ValueError, EOFError)
_AT_ONCE = 64  # files that a thread is given at a time: few enough to stop soon, many enough to cost nothing


@dataclass(frozen=True)
class Picture:
    """What an image file is: upright size in pixels, Pillow's mode, whether EXIF turns it, SHA-256 of fitted pixels."""

    width: int
    height: int
    mode: str
    turned: bool
    sha256: str = ""


@dataclass(frozen=True)
class Decoded:
    """Images uint8 (M, H, W, C) of the M readable files of N, in their order; in a file if memory would not hold them.

    `pictures` (N,) has None where `reasons` says why a file cannot be read.
    """

    images: Pixels
    pictures: tuple[Picture | None, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Room:
    """Where decoded images go: into memory if they fit (see `memory.fits_into_memory`), or else into `file`."""

    file: Path
    memory_mb: int | None = None


def decode(entries: Sequence[Entry], size: tuple[int, int], color: str, tell: Tell, room: Room) -> Decoded:
    """The images of `entries` fitted to `size` (H, W) in `color` (auto, rgb or grey).

    Raises:
        DataError: if they fit neither into memory nor onto the disk; nothing was decoded then.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # of files that it reads all the same
        headers = _in_threads(_header, entries, "look at images", tell)
        if color == "auto":
            seen = {header.mode for header in headers if header is not None}
            color = "grey" if seen and seen <= _GREY_MODES else "rgb"
        spec = input_spec((*size, 1 if color == "grey" else 3))
        work = _Decoding(entries, spec, tell)
        fits = fits_into_memory(len(entries), spec.shape, room.memory_mb)
        images, reasons = work.in_memory() if fits else work.in_file(room.file)
    pixels = iter(images[index] for index in range(len(images)))
    pictures = tuple(
        None if reason else _with_digest(header, next(pixels)) for header, reason in zip(headers, reasons, strict=True)
    )
    return Decoded(images, pictures, tuple(reasons))


@dataclass(frozen=True)
class _Decoding:
    """Image files to decode: each way gives the images of the readable ones, and why each of all is not, if so."""

    entries: Sequence[Entry]
    spec: InputSpec
    tell: Tell

    def in_memory(self) -> tuple[Pixels, list[str]]:
        images = np.zeros((len(self.entries), *self.spec.shape), np.uint8)
        reasons = self._fill(images)
        return images[[not reason for reason in reasons]], reasons

    def in_file(self, path: Path) -> tuple[Pixels, list[str]]:
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_beyond_disk(len(self.entries), self.spec.shape, path.parent)
        with write_atomically(path) as temporary:
            store = NewStore(temporary, (len(self.entries), *self.spec.shape))
            reasons = self._fill(store)
            store.close([row for row, reason in enumerate(reasons) if not reason])
        return StoredImages.open(path), reasons

    def _fill(self, images: NDArray[np.uint8] | NewStore) -> list[str]:
        return _in_threads(_filler(images, self.spec), list(enumerate(self.entries)), "decode images", self.tell)


def digest_of(image: NDArray[np.uint8]) -> str:
    """The SHA-256 of an image's pixels."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def _header(entry: Entry) -> Picture | None:
    try:
        with _opened(entry.path) as content, Image.open(content) as image:
            # Pillow decodes a PNG without EXIF whole to look for it behind the pixels.
            told = image.format != "PNG" or "exif" in image.info
            orientation = image.getexif().get(_ORIENTATION, 1) if told else 1
            width, height = image.size[::-1] if orientation in _LYING else image.size
            return Picture(width, height, image.mode, orientation in range(2, 9))
    except (*_READ_ERRORS, Image.DecompressionBombError):
        return None  # decoding tells why


def _opened(path: Path) -> io.BufferedReader:
    # A pipe or device in the place of a file would block, or never end.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a regular file")
    return path.open("rb")


def _filler(images: NDArray[np.uint8] | NewStore, spec: InputSpec) -> Callable[[tuple[int, Entry]], str]:
    """A function that decodes an entry into its row of `images`, and returns why it could not, or nothing."""

    def fill(item: tuple[int, Entry]) -> str:
        row, entry = item
        try:
            with _opened(entry.path) as file:
                content = file.read()
            if not content:
                return "the file is empty (0 bytes)"
            image = read_image_bytes(content, spec, name="")
        except OSError as error:
            return error.strerror or str(error)
        except InputError as error:
            return str(error).removeprefix(": expected an image file that Pillow can read").lstrip(": ").rstrip(".")
        images[row] = image
        return ""

    return fill


def _with_digest(header: Picture | None, image: NDArray[np.uint8]) -> Picture:
    known = header or Picture(image.shape[1], image.shape[0], "?", turned=False)
    return Picture(known.width, known.height, known.mode, known.turned, digest_of(image))


def _in_threads(work: Callable[[_Item], _Result], items: Sequence[_Item], title: str, tell: Tell) -> list[_Result]:
    """`work` of each item, in order. Pillow decodes without Python's lock, so threads do it side by side."""
    pieces = [items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE)]
    results: list[_Result] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for piece in pool.map(lambda some: [work(item) for item in some], pieces):
                results += piece
                tell(title, len(results), len(items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # or Ctrl-C would wait for all that is queued
            raise
    return results
