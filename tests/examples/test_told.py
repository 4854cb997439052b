from __future__ import annotations

import numpy as np
import pytest

from examples.shared.told import Told, tell
from hkd_edge_runtime import Answer, ConceptAnswer


def answer(score: float, **concepts: tuple[str | None, float]) -> Answer:
    probabilities = np.array([score, 1 - score], np.float32)
    return Answer(
        "coat",
        score,
        0,
        probabilities,
        {axis: ConceptAnswer(*each) for axis, each in concepts.items()},
        ("coat", "bag"),
    )


@pytest.mark.parametrize(
    ("given", "told", "text"),
    [
        (answer(0.8, kind=("tops", 0.99)), Told("class", "coat", None, 0.8), "coat"),
        (answer(0.5, kind=("tops", 0.9), fit=("wide", 0.95)), Told("concept", "wide", "fit", 0.95), "fit: wide"),
        (answer(0.5, kind=("tops", 0.79)), Told("unsure", None, None, 0.5), "unsure"),
        (answer(0.5, kind=(None, 0.9)), Told("unsure", None, None, 0.5), "unsure"),
        (answer(0.5), Told("unsure", None, None, 0.5), "unsure"),
    ],
)
def test_the_class_is_told_if_sure_else_the_surest_concept_else_nothing(given: Answer, told: Told, text: str) -> None:
    assert tell(given, 0.8) == told
    assert str(told) == text
