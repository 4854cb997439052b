"""What a report computes, against cases by hand and scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from hkd_edge.report.findings import class_order, compute_findings, confusion, pareto_front
from hkd_edge.report.material import Material
from hkd_edge.report.plots.concepts import cell_opacity
from hkd_edge.report.theme import COLOURS, contrast_ratio, mix
from hkd_edge_runtime.hierarchy import Axis, Hierarchy
from tests.validations import HIERARCHY, drawn_validation

CROSSED = Hierarchy(
    ("shirt", "boot", "bag", "coat"),
    (Axis("group", ("tops", "footwear"), (0, 1, -1, 0)), Axis("warm", ("yes",), (-1, 0, -1, 0))),
)


def test_classes_are_ordered_by_their_concepts_and_silence_comes_last() -> None:
    assert [CROSSED.classes[index] for index in class_order(CROSSED)] == ["coat", "shirt", "boot", "bag"]


def test_the_confusion_matrix_is_that_of_scikit_learn_in_the_order_of_concepts() -> None:
    draw = np.random.default_rng(3)
    labels, logits = draw.integers(0, 4, 300), draw.normal(size=(300, 4)).astype(np.float32)
    found = confusion(logits, labels, CROSSED, "x")
    theirs = confusion_matrix(labels, logits.argmax(axis=1), labels=class_order(CROSSED))
    assert np.array_equal(found.counts, theirs)
    assert found.blocks == (("tops", 2), ("footwear", 1), ("no concept", 1))


def test_the_front_holds_what_nothing_beats_in_all_three() -> None:
    validation, _ = drawn_validation()
    row = validation.rows[0]
    assert row.latency is not None

    def made(top1: float, p50_ms: float, size_bytes: int) -> object:
        timing = replace(row.latency, p50_ms=p50_ms)
        return replace(row, test=replace(row.test, top1=top1), timings=(timing,), size_bytes=size_bytes)

    best, small, fast, beaten = made(95, 2, 200), made(90, 2, 100), made(90, 1, 200), made(90, 2, 200)
    assert pareto_front([best, small, fast, beaten]) == [best, small, fast]  # type: ignore[list-item]
    assert pareto_front([best, best]) == [best, best]  # type: ignore[list-item]
    assert pareto_front([replace(row, timings=())]) == []


def test_a_mistake_tells_what_each_of_them_says_and_who_is_right() -> None:
    validation, arrays = drawn_validation()
    image = int(arrays["mistakes"][0])
    label = int(arrays["labels"][image])
    arrays["concept_teacher"][image] = [0.9, 0.0, 0.05] if label < 2 else [0.0, 0.9, 0.05]
    arrays["openvino-int8"][image] = 20.0 * np.eye(4)[label]
    found = compute_findings(Material(validation, arrays)).mistakes[0]
    said = {answer.who: answer for answer in found.answers}
    assert list(said) == [
        *("concept teacher, group", "concept teacher, sleeves"),
        *("torch student", "onnxruntime int8", "openvino int8"),
    ]
    assert found.label == HIERARCHY.classes[label]
    assert said["concept teacher, group"].right
    assert said["concept teacher, group"].score == pytest.approx(90)
    assert said["concept teacher, sleeves"].name == "no concept"
    assert not said["torch student"].right
    assert said["openvino int8"].right


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("colour", "right"), [("series-1", True), ("series-2", False)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_counts_are_legible_on_every_cell(theme: int, colour: str, right: bool, share: float) -> None:
    under = mix(COLOURS[colour][theme], COLOURS["page"][theme], cell_opacity(share, right=right))
    assert contrast_ratio(COLOURS["ink"][theme], under) >= 4.5
