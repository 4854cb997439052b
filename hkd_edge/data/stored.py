"""Images that stay in a file because they do not fit into memory: read by rows, when they are asked for.

The file is NumPy's .npy. It is read and not mapped, so that what a process takes of memory is what it has asked for.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_BATCH_BYTES = 2**22  # that are read at a time where all images are wanted


class Pixels(Protocol):
    """Images uint8 (N, H, W, C), in memory (an array of NumPy's) or not; an index or slice gives an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]: ...


class StoredImages:
    """The images at `rows` (M,) of a file of images; None is all of them."""

    def __init__(self, file: _File, rows: NDArray[np.int64] | None = None) -> None:
        self._file = file
        self._rows = np.arange(file.shape[0]) if rows is None else rows

    @classmethod
    def open(cls, path: Path) -> StoredImages:
        """All images of the file at `path`.

        Raises:
            OSError, ValueError: if it is missing, or no .npy file of images, or cut short.
        """
        return cls(_File(path))

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, H, W, C)."""
        return (len(self._rows), *self._file.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for index in range(len(self)):
            yield self[index]

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """The image (H, W, C) at a number, or the images (B, H, W, C) at an array of them or a slice."""
        rows = self._rows[index]
        return self._file.read(np.atleast_1d(rows))[0] if np.ndim(rows) == 0 else self._file.read(rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or np.uint8, copy=False)

    def at(self, indices: NDArray[np.int64]) -> StoredImages:
        """The images at `indices`, which stay where they are."""
        return StoredImages(self._file, self._rows[indices])


def pixels_at(images: Pixels, indices: NDArray[np.int64]) -> Pixels:
    """The images at `indices` (M,): copied, or stored ones where they are."""
    return images.at(indices) if isinstance(images, StoredImages) else images[indices]


def in_batches(images: Pixels) -> Iterator[NDArray[np.uint8]]:
    """All images in their order, some at a time."""
    count = max(1, _BATCH_BYTES // math.prod(images.shape[1:]))
    for start in range(0, len(images), count):
        yield images[start : start + count]


class _File:
    """A .npy file of uint8 images, open as long as anyone has images of it."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.shape, self._start = _read_header(file)
        self._size = math.prod(self.shape[1:])
        if path.stat().st_size < self._start + self.shape[0] * self._size:
            raise ValueError(f"{path}: expected {self.shape[0]} images, got a file cut short")
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images at `rows` (B,)."""
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        offsets = self._start + rows * self._size
        self._announce(offsets)
        for image, offset in zip(images, offsets.tolist(), strict=True):
            if os.preadv(self._descriptor, [image.reshape(-1).data], offset) != self._size:
                raise OSError(f"expected {self._size} bytes of an image, got fewer; its file was cut short")
        return images

    def _announce(self, offsets: NDArray[np.int64]) -> None:
        """Has the system fetch all images at once from where they are, not one after the other."""
        if hasattr(os, "posix_fadvise"):  # Linux
            for offset in offsets.tolist():
                os.posix_fadvise(self._descriptor, offset, self._size, os.POSIX_FADV_WILLNEED)


class NewStore:
    """A file of images in the making: rows are set in any order and by any thread."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._path = path
        self._shape = shape
        self._size = math.prod(shape[1:])
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self._start = self._write_header(shape[0])

    def __setitem__(self, row: int, image: NDArray[np.uint8]) -> None:
        # A short write, of a full disk, raises at the next attempt to write the rest.
        data = np.ascontiguousarray(image).reshape(-1).data
        offset = self._start + row * self._size
        while data:
            written = os.pwrite(self._descriptor, data, offset)
            data, offset = data[written:], offset + written

    def close(self, kept: Sequence[int]) -> None:
        """Ends the file with the rows `kept`, rising numbers, and no others."""
        for place, row in enumerate(kept):
            if place != row:
                at = self._start + row * self._size
                self[place] = np.frombuffer(os.pread(self._descriptor, self._size, at), np.uint8)
        os.ftruncate(self._descriptor, self._start + len(kept) * self._size)
        self._write_header(len(kept))
        os.close(self._descriptor)

    def _write_header(self, count: int) -> int:
        """Writes how many images there are; the length in bytes, which NumPy keeps the same for any number."""
        import io

        header = io.BytesIO()
        described = {"descr": "|u1", "fortran_order": False, "shape": (count, *self._shape[1:])}
        np.lib.format.write_array_header_1_0(header, described)
        os.pwrite(self._descriptor, header.getvalue(), 0)
        return len(header.getvalue())


def _read_header(file: Any) -> tuple[tuple[int, ...], int]:
    """The shape of the images in a .npy file, and where the first of them begins."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("expected a .npy file of version 1.0")
    shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
    if fortran or kind != np.uint8 or len(shape) != 4:
        raise ValueError(f"expected uint8 images (N, H, W, C), got {kind} of {shape}")
    return shape, file.tell()
