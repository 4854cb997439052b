"""Whether images fit into memory, asked before they are decoded; what does not stays in a file."""

from __future__ import annotations

import math
import os
import resource
import shutil
from pathlib import Path

from hkd_edge.errors import DataError

_COPIES = 2  # as loaded, and as split for the training


def fits_into_memory(count: int, shape: tuple[int, ...], memory_mb: int | None = None) -> bool:
    """Whether `count` images of `shape` (H, W, C) take at most `memory_mb` (10^6 bytes), twice.

    None is half of the memory that is free: the training needs some too.
    """
    limit = free_memory_bytes() // 2 if memory_mb is None else memory_mb * 10**6
    return _COPIES * count * math.prod(shape) <= limit


def refuse_beyond_disk(count: int, shape: tuple[int, ...], folder: Path) -> None:
    """Does nothing if `count` images of `shape` (H, W, C) fit into what is free where `folder` is.

    Raises:
        DataError: if they do not, with both numbers.
    """
    needed_bytes, free_bytes = count * math.prod(shape), shutil.disk_usage(folder).free
    if needed_bytes <= free_bytes:
        return
    fitting = math.isqrt(shape[0] * shape[1] * free_bytes // needed_bytes)
    raise DataError(
        f"expected {count:,} images of {' x '.join(map(str, shape))}, which do not fit into memory, to fit into "
        f"{folder}: {needed_bytes / 1e9:.1f} GB, got {free_bytes / 1e9:.1f} GB free. Make image_size smaller (about "
        f"{fitting} would do), use fewer images, or name a larger disk by the variable XDG_CACHE_HOME."
    )


def free_memory_bytes() -> int:
    """What this process may still take: the system's figure, its control group's or its own limits', the least."""
    return min(_of_system(), _of_control_group(), _of_process())


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


def _of_process() -> int:
    """What the limits of a shell (`ulimit`) leave of address space and of data."""
    limits = {"VmSize": resource.RLIMIT_AS, "VmData": resource.RLIMIT_DATA}
    set_ones = {name: resource.getrlimit(limit)[0] for name, limit in limits.items()}
    left = [
        max(0, limit - used)
        for name, limit in set_ones.items()
        if limit != resource.RLIM_INFINITY and (used := _used_bytes(name)) is not None
    ]
    return min(left, default=1 << 62)


def _used_bytes(name: str) -> int | None:
    """A figure of this process; None where there is no Linux to tell it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration):
        return None
