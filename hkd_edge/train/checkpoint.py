"""Checkpoints and weights on disk: written whole or not at all, read without unpickling code."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hkd_edge_runtime.files import write_atomically

# What reading a described file, and taking its description apart, may raise of a file that is not whole or not ours.
UNREADABLE = (OSError, RuntimeError, EOFError, pickle.UnpicklingError, AttributeError, LookupError, ValueError)


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes `state` (tensors, numbers, strings and containers of them) atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        # Given a path, torch writes its stem into the file, and the same weights would differ by a temporary name.
        torch.save(dict(state), file)


def load_checkpoint(path: Path, key: str, device: torch.device) -> dict[str, Any] | None:
    """The state in `path` if it is there, whole, and was written for `key`; otherwise None.

    A checkpoint only saves time: one of another recipe, or damaged, is left unused and training starts anew.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return None
    return state if state.get("key") == key else None


def save_described(
    path: Path, kind: tuple[str, int], described: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> None:
    """Writes a file that says what it is: its `kind` (format, version), what is `described` as JSON, and weights.

    It is written atomically, from whatever device they are on; the same content gives the same bytes.
    """
    head = {"format": kind[0], "format_version": kind[1], "described": json.dumps(described)}
    save_checkpoint(path, {**head, "weights": {name: value.cpu() for name, value in weights.items()}})


def read_described(path: Path, kind: tuple[str, int]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `save_described` was given: the description, and the weights on the CPU.

    Raises:
        One of `UNREADABLE`: if the file is missing, damaged, or of another kind.
    """
    state: Any = torch.load(path, map_location="cpu", weights_only=True)
    version = (state.get("format"), state.get("format_version"))
    if version != kind:
        raise RuntimeError(f"its format is {version[0]} {version[1]}")
    return json.loads(state["described"]), state["weights"]
