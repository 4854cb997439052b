"""What an exported file promises: its input, its outputs and the preprocessing inside the graph."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hkd_edge_runtime.backends.base import CONCEPT_PROBABILITIES, LOGITS, PROBABILITIES
from hkd_edge_runtime.hierarchy import Hierarchy

OPSET = 20


@dataclass(frozen=True)
class ExportSpec:
    """Everything that a deployed classifier needs beside its weights.

    Attributes:
        height, width, channels: of the uint8 images (H, W, C) that the exported file takes.
        mean, std: per channel, of pixels in 0..1.

    Raises:
        ValueError: for a size below 1, a mean or std of another length than `channels`, or a std that is not
            a number above 0.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    hierarchy: Hierarchy

    def __post_init__(self) -> None:
        for name in ("height", "width", "channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"spec.{name}: expected at least 1, got {getattr(self, name)}.")
        for name in ("mean", "std"):
            numbers = getattr(self, name)
            if len(numbers) != self.channels or not all(map(math.isfinite, numbers)):
                raise ValueError(f"spec.{name}: expected {self.channels} finite numbers, got {numbers}.")
        if min(self.std) <= 0:
            raise ValueError(f"spec.std: expected numbers > 0, got {self.std}.")

    @property
    def outputs(self) -> dict[str, int]:
        """The outputs in their order, each with its width: classes, classes and, if any, concepts."""
        classes = len(self.hierarchy.classes)
        concepts = self.hierarchy.membership().shape[1]
        widths = {LOGITS: classes, PROBABILITIES: classes}
        return {**widths, CONCEPT_PROBABILITIES: concepts} if concepts else widths
