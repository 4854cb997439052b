"""What a step gives back is there for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Faults of sixty blocks of 64 MiB, each written and freed before the next. The heap first grows by some of them.
CODE = """
import resource, sys, torch
from hkd_edge.train.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(60):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    process = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
    return int(process.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep freed memory")
def test_blocks_above_32_mib_cost_page_faults_once() -> None:
    assert faults("keep") * 3 < faults("give back")
