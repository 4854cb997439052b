"""What a batch of training images costs that is read from the cache's file, against one that is in memory.

    python benchmarks/streaming.py [--images 20000] [--side 64] [--rounds 40]

Batches of 128 random images, flipped, shifted and normalised, in turns: from memory, from the file in the system's page
cache, and from the file after the system was told to forget it (where it does: Linux, and the file was written).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from wrapper import median_interval  # the script beside this one

from hkd_edge.data.dataset import Dataset, ImageSet, Split
from hkd_edge.data.resident import ResidentData
from hkd_edge.data.stored import StoredImages
from hkd_edge.recipe.schema import Augment
from hkd_edge_runtime.board import read_board

BATCH_SIZE = 128


def data_of(images: np.ndarray | StoredImages) -> ResidentData:
    """The images as they are trained on."""
    labels = np.arange(len(images)) % 2
    some = ImageSet(images, labels)
    split = Split(np.arange(len(images)), np.arange(1))
    augment = Augment(flip=True, shift_px=4)
    return ResidentData(Dataset("", ("a", "b"), some, some, "", ""), split, augment, 0, torch.device("cpu"))


def forget(path: Path) -> None:
    """Has the system drop what it keeps of the file in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def batch_ms(data: ResidentData, indices: torch.Tensor) -> float:
    """Milliseconds of one batch."""
    started = time.perf_counter()
    data.view_batch(0, indices)
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Batches from a file against batches from memory.")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (options.images, options.side, options.side, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # /tmp may be in memory
        path = Path(folder) / "images.npy"
        np.save(path, images)
        resident, streamed = data_of(images), data_of(StoredImages.open(path))
        times: dict[str, list[float]] = {"in memory": [], "file, kept by the system": [], "file, from the disk": []}
        for _ in range(options.rounds + 2):
            indices = torch.from_numpy(generator.choice(options.images, BATCH_SIZE, replace=False))
            times["in memory"].append(batch_ms(resident, indices))
            forget(path)
            times["file, from the disk"].append(batch_ms(streamed, indices))
            times["file, kept by the system"].append(batch_ms(streamed, indices))
    print(f"machine {dict(read_board().facts)}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{options.rounds} batches of {BATCH_SIZE} of {options.images} images of {options.side} x {options.side} x 3")
    for name, each in times.items():
        low, high = median_interval(each[2:])
        print(f"{name:26} {statistics.median(each[2:]):7.2f} ms ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
