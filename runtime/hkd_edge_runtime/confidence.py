"""What the manifest knows of how sure an artefact must be: its temperature, and thresholds for its scores.

The toolchain measures both on validation images (`hkd_edge/evaluate/selective.py`); `decision.py` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold of calibrated scores, and what came of it on the validation images.

    Attributes:
        threshold: 0 to 1; an answer with at least this score is sure enough.
        coverage: percent of all validation images that were answered so.
        accuracy: percent of those that were answered rightly.
    """

    threshold: float
    coverage: float
    accuracy: float

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold: expected a number from 0 to 1, got {self.threshold}.")
        for name, percent in (("coverage", self.coverage), ("accuracy", self.accuracy)):
            check_percent(name, percent)


@dataclass(frozen=True)
class Confidence:
    """How one artefact's scores become trustworthy. Artefacts differ in it: INT8 rounds logits.

    Attributes:
        temperature: divides the logits before the softmax, so that scores are shares of right answers.
        accuracy: percent of the answers on each threshold that must be right.
        confidence_level: percent of certainty that they are, for images like the validation images.
        images: number of validation images.
        axes: by name, the point for concepts of the axis where the class is not sure; without those axes for which
            no threshold could be shown to suffice.
        label: the point for classes; absent if no threshold could be shown to suffice.
    """

    temperature: float
    accuracy: float
    confidence_level: float
    images: int
    axes: Mapping[str, OperatingPoint]
    label: OperatingPoint | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature: expected a number > 0, got {self.temperature}.")
        if self.images < 1:
            raise ValueError(f"images: expected a number >= 1, got {self.images}.")
        for name, percent in (("accuracy", self.accuracy), ("confidence_level", self.confidence_level)):
            check_percent(name, percent)


def check_percent(name: str, value: float) -> None:
    """Refuses what is no percentage, by a ValueError that names it."""
    if not 0 <= value <= 100:
        raise ValueError(f"{name}: expected percent from 0 to 100, got {value}.")
