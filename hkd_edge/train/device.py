"""Which device trains, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from hkd_edge.errors import TrainingError


def select_device(wanted: str) -> torch.device:
    """The device that the recipe wants: "auto" is a CUDA device if there is one, else the CPU.

    Raises:
        TrainingError: if a CUDA device is wanted that is not there.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TrainingError(
            f"recipe.device: expected a CUDA device that is there, got {wanted!r} with "
            f"{torch.cuda.device_count()} device(s) visible. Use --set device=auto or device=cpu."
        )
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
