"""What the machine is, as far as it shows it; facts that it does not show are absent, none is guessed."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hkd_edge_runtime.sysfs import ROOT, read_text

# Arm's and NVIDIA's cores by (CPU implementer, CPU part): MIDR_EL1 in their technical reference manuals.
ARM_CORES: dict[tuple[int, int], str] = {
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",
}

# Instruction sets by which runtimes choose kernels for float and INT8 inference, as Linux names them, oldest first.
INFERENCE_FLAGS: tuple[str, ...] = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16"),
    *("amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "sve", "sve2", "bf16"),
)


@dataclass(frozen=True)
class Board:
    """What does not change while the machine runs.

    Attributes:
        facts: those that are shown out of `model`, `cpu`, `system`, `kernel`, `jetson_linux`, `architecture`, `python`.
        cores: how many processors Linux sees.
        usable_cores: how many of them this process may use.
        cpu_flags: see `cpu_flags`.
        memory_bytes: what Linux manages; None where it is not shown.
    """

    facts: Mapping[str, str]
    cores: int
    usable_cores: int
    cpu_flags: tuple[str, ...]
    memory_bytes: int | None


def read_board(root: Path = ROOT) -> Board:
    """What the machine below `root` is."""
    cores = [_core_name(block) for block in _processors(root)]
    facts = {
        "model": _model(root),
        "cpu": ", ".join(f"{cores.count(name)} x {name}" for name in dict.fromkeys(cores) if name),
        "system": _release(root),
        "kernel": platform.release(),
        "jetson_linux": _jetson_linux(root),
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }
    shown = {name: value for name, value in facts.items() if value}
    return Board(shown, len(cores) or os.cpu_count() or 1, _usable_cores(), cpu_flags(root), _memory_bytes(root))


def cpu_flags(root: Path = ROOT) -> tuple[str, ...]:
    """Those of `INFERENCE_FLAGS` that every processor has, in that order; empty where they are not shown."""
    shown = [block.get("flags", block.get("Features", "")).split() for block in _processors(root)]
    return tuple(flag for flag in INFERENCE_FLAGS if shown and all(flag in flags for flags in shown))


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _model(root: Path) -> str:
    if name := read_text(root / "proc/device-tree/model"):
        return name
    vendor, product = (read_text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name"))
    return f"{vendor} {product}".strip()


def _processors(root: Path) -> list[dict[str, str]]:
    """The blocks of /proc/cpuinfo that describe a processor."""
    blocks = []
    for text in read_text(root / "proc/cpuinfo").split("\n\n"):
        pairs = (line.partition(":") for line in text.splitlines())
        block = {key.strip(): value.strip() for key, _, value in pairs}
        if "processor" in block:
            blocks.append(block)
    return blocks


def _core_name(block: Mapping[str, str]) -> str:
    numbers = [block.get(key, "") for key in ("CPU implementer", "CPU part")]
    if not all(re.fullmatch("0x[0-9a-f]+", number) for number in numbers):
        return block.get("model name", "")
    implementer, part = (int(number, 16) for number in numbers)
    return ARM_CORES.get((implementer, part), f"Arm core (implementer {implementer:#x}, part {part:#x})")


def _release(root: Path) -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', read_text(root / "etc/os-release"), re.MULTILINE)
    return found.group(1) if found else ""


def _jetson_linux(root: Path) -> str:
    """The release of NVIDIA's board support package, for example `R36.4.3`."""
    found = re.search(r"# (R\d+) \(release\), REVISION: ([\d.]+)", read_text(root / "etc/nv_tegra_release"))
    return f"{found.group(1)}.{found.group(2)}" if found else ""


def _memory_bytes(root: Path) -> int | None:
    found = re.search(r"^MemTotal:\s+(\d+) kB$", read_text(root / "proc/meminfo"), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None
