from __future__ import annotations

import math

import pytest

from hkd_edge_export.spec import ExportSpec
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

CLASSES = ("coat", "boot")


def test_outputs_are_logits_and_probabilities_without_concepts() -> None:
    spec = ExportSpec(8, 8, 1, (0.5,), (0.5,), Hierarchy(CLASSES))
    assert spec.outputs == {"logits": 2, "probabilities": 2}


def test_outputs_hold_one_column_for_each_concept_of_every_axis() -> None:
    axes = (Axis("kind", ("tops", "shoes"), (0, 1)), Axis("sleeves", ("long",), (0, -1)))
    spec = ExportSpec(8, 8, 3, (0.5,) * 3, (0.5,) * 3, Hierarchy(CLASSES, axes))
    assert spec.outputs == {"logits": 2, "probabilities": 2, "concept_probabilities": 3}


@pytest.mark.parametrize(
    ("height", "mean", "std", "message"),
    [
        (0, (0.5,), (0.5,), r"spec\.height: expected at least 1, got 0"),
        (8, (0.5, 0.5), (0.5,), r"spec\.mean: expected 1 finite numbers, got \(0\.5, 0\.5\)"),
        (8, (math.nan,), (0.5,), r"spec\.mean: expected 1 finite numbers"),
        (8, (0.5,), (0.5, 0.5), r"spec\.std: expected 1 finite numbers"),
        (8, (0.5,), (0.0,), r"spec\.std: expected numbers > 0, got \(0\.0,\)"),
    ],
)
def test_numbers_that_cannot_normalise_an_image_are_refused(
    height: int, mean: tuple[float, ...], std: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ExportSpec(height, 8, 1, mean, std, Hierarchy(CLASSES))
