"""What to say of an answer: the class if it is sure, else a concept that is, else that it is not sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hkd_edge_runtime import Answer


@dataclass(frozen=True)
class Told:
    """What is said of one image.

    Attributes:
        name: the class or the concept; None if unsure.
        axis: the axis of the concept; None otherwise.
        score: the probability of what is said, 0 to 1; if unsure that of the class.
    """

    kind: Literal["class", "concept", "unsure"]
    name: str | None
    axis: str | None
    score: float

    def __str__(self) -> str:
        if self.kind == "unsure":
            return "unsure"
        return f"{self.name}" if self.axis is None else f"{self.axis}: {self.name}"


def tell(answer: Answer, threshold: float) -> Told:
    """The class if its score reaches the threshold, else the surest concept that does, else unsure."""
    if answer.score >= threshold:
        return Told("class", answer.label, None, answer.score)
    concepts = [(each.score, axis, each.concept) for axis, each in answer.concepts.items() if each.concept is not None]
    score, axis, concept = max(concepts, default=(0.0, "", ""), key=lambda each: each[0])
    if concepts and score >= threshold:
        return Told("concept", concept, axis, score)
    return Told("unsure", None, None, answer.score)
