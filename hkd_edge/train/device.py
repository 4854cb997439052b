"""Which device trains, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from hkd_edge.errors import TrainingError
from hkd_edge.train.team import ALONE, Team


def select_device(wanted: str, team: Team = ALONE) -> torch.device:
    """The device that the recipe wants: "auto" is a CUDA device if there is one, else the CPU.

    Each process of a team has a CUDA device of its own, by its number on its machine.

    Raises:
        TrainingError: if a CUDA device is wanted that is not there, or by several processes.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    if team.size > 1 and device.type == "cuda":
        if device.index is not None:
            raise TrainingError(
                f"recipe.device: expected auto, cpu or cuda for {team.size} processes, each of which has a device of "
                f"its own, got {wanted!r}. Use --set device=cuda."
            )
        device = torch.device("cuda", team.local_rank)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TrainingError(
            f"recipe.device: expected a CUDA device that is there, got '{device}' with "
            f"{torch.cuda.device_count()} device(s) visible. Use --set device=auto or device=cpu"
            + (", or start fewer processes." if team.size > 1 else ".")
        )
    if team.size > 1 and device.type == "cuda":
        torch.cuda.set_device(device)  # NCCL takes the current device for a process's own
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 in hardware (on a CPU: AVX512-BF16 or AMX, elsewhere it is slower)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # The public torch.cpu.get_capabilities is younger than torch 2.11.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def select_precision(wanted: str, device: torch.device) -> str:
    """The precision of convolutions and matrix products, fp32 or bf16; auto is bf16 where the hardware has it."""
    if wanted == "auto":
        return "bf16" if has_fast_bf16(device) else "fp32"
    return wanted


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """A context in which convolutions and matrix products run in `precision`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
