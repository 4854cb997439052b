"""The idx format of MNIST and its relatives, plain or gzipped (http://yann.lecun.com/exdb/mnist)."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hkd_edge.errors import DataError

_UINT8_CODE = 0x08


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The uint8 array of `dimensions` axes that the idx file `path` (gzipped if it ends in .gz) holds.

    Raises:
        DataError: if the file is missing, truncated, corrupt, or of another type or rank.
    """
    content = _read(path)
    header_size = 4 + 4 * dimensions
    if len(content) < header_size or content[:2] != b"\0\0":
        raise DataError(f"{path}: expected an idx file, got {content[:4]!r}. {_REMEDY}")
    if content[2] != _UINT8_CODE or content[3] != dimensions:
        raise DataError(
            f"{path}: expected idx data of uint8 with {dimensions} axes, "
            f"got type code {content[2]:#04x} with {content[3]}. {_REMEDY}"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header_size])
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - header_size != expected:
        raise DataError(
            f"{path}: expected {expected} bytes of data for shape {shape}, got {len(content) - header_size}. {_REMEDY}"
        )
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)


_REMEDY = "The file is damaged or is another one: replace it, or delete it if hkd-edge fetched it."


def _read(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix == ".gz" else raw
    except OSError as error:
        # gzip.BadGzipFile is an OSError too: a wrong header or checksum ends here.
        raise DataError(f"{path}: expected a readable idx file, got: {error}. {_REMEDY}") from error
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected whole gzip data, got: {error}. {_REMEDY}") from error
