"""What of this machine the answers and the speed of a runtime hang on, to know it again."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from hkd_edge_runtime.sysfs import ROOT, read_text

# What of a processor's description in /proc/cpuinfo decides which kernels a runtime takes; the rest changes with time.
_CPU_FACTS = {
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),
}


def machine_facts(root: Path = ROOT) -> dict[str, str]:
    """System, architecture, board, number of CPUs, and the processor's model and abilities."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "board": read_text(root / "proc/device-tree/model"),
        "cpus": str(os.cpu_count()),
        "cpu": cpu_facts(root),
    }


def cpu_facts(root: Path = ROOT) -> str:
    """The processor's model and abilities, of the first core; on other systems than Linux what Python knows."""
    first = read_text(root / "proc/cpuinfo").split("\n\n", 1)[0]
    if not first:
        # On Linux this starts a process, and knows no more.
        return "" if sys.platform == "linux" else platform.processor()
    pairs = [line.partition(":") for line in first.splitlines()]
    return "; ".join(f"{name.strip()}: {value.strip()}" for name, _, value in pairs if name.strip() in _CPU_FACTS)
