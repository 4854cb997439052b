"""What the C library does with memory that a training step gives back."""

from __future__ import annotations

import ctypes
import sys

# glibc's <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_BYTES = 2**30  # more than any tensor of a step on a CPU; mallopt takes a C int


def keep_freed_memory() -> bool:
    """Has glibc keep freed blocks of up to 1 GiB for the next step, and says whether it will.

    glibc returns blocks above 32 MiB to the system as soon as they are freed, and the next step pays for a page fault
    in every 4 KiB of them. The results are the same bits; the process stays as large as its largest step. Elsewhere
    than with glibc nothing is changed. Source: the glibc manual, "Malloc Tunable Parameters"; figures in
    docs/performance.md.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    settings = (_M_MMAP_THRESHOLD, _LARGEST_BYTES), (_M_TRIM_THRESHOLD, _LARGEST_BYTES)
    return all(mallopt(name, size) == 1 for name, size in settings)
