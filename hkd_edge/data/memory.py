"""Whether a data set fits into memory, asked before it is loaded."""

from __future__ import annotations

import math
import os
from pathlib import Path

from hkd_edge.errors import DataError

_COPIES = 2  # as loaded, and as split for the training


def refuse_beyond_memory(count: int, shape: tuple[int, ...]) -> None:
    """Does nothing if `count` images of `shape` (H, W, C) fit into the memory that is free, twice.

    Raises:
        DataError: if they do not, with both numbers.
    """
    needed_bytes, free_bytes = _COPIES * count * math.prod(shape), free_memory_bytes()
    if needed_bytes <= free_bytes:
        return
    fitting = math.isqrt(shape[0] * shape[1] * free_bytes // needed_bytes)
    raise DataError(
        f"expected {count:,} images of {' x '.join(map(str, shape))} to fit into memory, which takes "
        f"{needed_bytes / 1e9:.1f} GB ({_COPIES} copies, a byte for each value), got {free_bytes / 1e9:.1f} GB free. "
        f"Make image_size smaller (about {fitting} would do), use fewer images, or a machine with more memory."
    )


def free_memory_bytes() -> int:
    """What this process may still take: the system's figure, or its control group's if that is less."""
    return min(_of_system(), _of_control_group())


def _of_system() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_control_group(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """Version 2's limit less what is used; no limit is more than any machine has."""
    try:
        limit, used = ((folder / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        return max(0, int(limit) - int(used)) if limit != "max" else 1 << 62
    except (OSError, ValueError):
        return 1 << 62
