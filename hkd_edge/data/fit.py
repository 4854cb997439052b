"""How a picture becomes what a network takes: one answer for training, calibration, validation and the board."""

from __future__ import annotations

from collections.abc import Sequence

from hkd_edge_runtime.manifest import InputSpec


def input_spec(shape: Sequence[int]) -> InputSpec:
    """The input of a network for images of `shape` (H, W, C), C = 1 (grey) or 3 (colour)."""
    height, width, channels = shape
    return InputSpec(height, width, channels, color="grey" if channels == 1 else "rgb")
