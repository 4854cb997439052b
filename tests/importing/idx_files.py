"""Writes idx files: https://yann.lecun.com/exdb/mnist has the format, which numpy's big-endian integers give."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def write_idx(path: Path, array: np.ndarray) -> Path:
    """Writes a uint8 `array`, gzipped if `path` ends in .gz."""
    header = bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, ">u4").tobytes()
    content = header + np.asarray(array, np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_pair(folder: Path, begin: str, images: np.ndarray, labels: list[int], suffix: str = ".gz") -> None:
    """Writes images (N, H, W) or (N, H, W, C) with their labels, as MNIST's are called."""
    write_idx(folder / f"{begin}images-idx{images.ndim}-ubyte{suffix}", images)
    write_idx(folder / f"{begin}labels-idx1-ubyte{suffix}", np.asarray(labels))


def noise(*shape: int) -> np.ndarray:
    """Pixels of that shape, of which no two images are alike."""
    return np.random.default_rng(list(shape)).integers(0, 256, shape, np.uint8)
