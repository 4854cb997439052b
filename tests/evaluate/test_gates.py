"""Each gate passes what holds, fails what does not, and says what was expected and what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hkd_edge.evaluate.gates import accuracy_gates, cost_gates, cross_gates, nothing_compared, speed_gates
from hkd_edge.evaluate.result import Cross, Difference, Gate, Row
from hkd_edge.recipe.delivery import Validate
from tests.validations import drawn_validation

SAME = Difference(0.0, {"a": 0.0, "b": 0.0}, {"a": 0, "b": 0}, 100.0, 0.0, 0.0)
LIMITS = Validate(max_top1_drop=0.5, max_class_drop=5.0, min_agreement=98.0)


def judged(difference: Difference, precision: str = "int8", images: int = 10_000) -> dict[str, Gate]:
    gates = accuracy_gates("onnxruntime int8", precision, difference, LIMITS, (images, "validation"))
    return {gate.name: gate for gate in gates}


def failed(gates: dict[str, Gate]) -> set[str]:
    return {name for name, gate in gates.items() if gate.status == "failed"}


def rows(**precisions: float) -> list[Row]:
    """An accurate row for each precision of onnxruntime, with the latency given; the first one ships."""
    drawn = drawn_validation()[0].rows[0]
    timing = drawn.timings[0]
    return [
        replace(
            drawn,
            precision=precision,
            timings=(replace(timing, p50_ms=p50_ms, p95_ms=2 * p50_ms),),
            shipped=precision == next(iter(precisions)),
        )
        for precision, p50_ms in precisions.items()
    ]


def test_equal_answers_hold_all_gates() -> None:
    assert not failed(judged(SAME))


def test_lost_accuracy_fails_and_says_how_much() -> None:
    gates = judged(replace(SAME, top1_drop=0.75))
    assert failed(gates) == {"max_top1_drop"}
    gate = gates["max_top1_drop"]
    assert (gate.expected, gate.measured) == ("to lose <= 0.5 points of top-1", "lost 0.75")
    assert gate.images == "10,000 validation images"


def test_a_class_that_collapsed_fails_however_small_it_is_among_all() -> None:
    gates = judged(replace(SAME, class_drop={"a": 30.0, "b": -1.0}, class_lost={"a": 3, "b": -1}))
    assert failed(gates) == {"max_class_drop"}
    assert gates["max_class_drop"].measured == "lost 30.00 in a"


def test_one_or_two_lost_images_are_no_evidence_against_a_class() -> None:
    assert not failed(judged(replace(SAME, class_drop={"a": 20.0, "b": 0.0}, class_lost={"a": 2, "b": 0})))


def test_the_largest_drop_in_points_does_not_hide_a_class_that_lost_more_images() -> None:
    gates = judged(replace(SAME, class_drop={"a": 20.0, "b": 6.0}, class_lost={"a": 2, "b": 60}))
    assert gates["max_class_drop"].measured == "lost 6.00 in b"
    assert failed(gates) == {"max_class_drop"}


@pytest.mark.parametrize(("precision", "least"), [("int8", 98.0), ("fp16", 99.5), ("fp32", 99.9)])
def test_floats_must_agree_more_than_int8(precision: str, least: float) -> None:
    assert not failed(judged(replace(SAME, agreement=least), precision))
    assert failed(judged(replace(SAME, agreement=least - 0.01), precision)) == {"min_agreement"}


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_two_of_a_few_images_are_no_evidence_against_a_float_file(precision: str) -> None:
    assert not failed(judged(replace(SAME, agreement=100 * 248 / 250), precision, images=250))
    assert failed(judged(replace(SAME, agreement=100 * 247 / 250), precision, images=250)) == {"min_agreement"}


def test_runtimes_that_answer_otherwise_than_each_other_fail() -> None:
    same, other = cross_gates(
        [Cross("int8", ("onnxruntime", "openvino"), agreement) for agreement in (99.0, 46.8)], LIMITS
    )
    assert (same.status, other.status) == ("passed", "failed")
    assert (other.subject, other.measured) == ("onnxruntime and openvino int8", "46.80 %")


def test_slower_int8_is_held_back_where_another_ships() -> None:
    (gate,) = speed_gates(rows(fp32=1.0, int8=1.25), LIMITS)
    assert (gate.status, gate.measured) == ("held_back", "0.80x the speed of fp32")


def test_slower_int8_fails_if_it_ships_or_if_that_was_asked_for() -> None:
    assert speed_gates(rows(int8=1.25, fp32=1.0), LIMITS)[0].status == "failed"
    assert speed_gates(rows(fp32=1.0, int8=1.25), LIMITS, fails=True)[0].status == "failed"


def test_faster_int8_passes_and_one_without_a_rival_is_skipped() -> None:
    assert speed_gates(rows(int8=0.5, fp32=1.0), LIMITS)[0].status == "passed"
    assert speed_gates(rows(int8=0.5), LIMITS)[0].status == "skipped"


def test_speed_is_not_judged_where_the_recipe_does_not_ask() -> None:
    assert speed_gates(rows(int8=1.25, fp32=1.0), Validate(int8_must_be_faster=False)) == []


@pytest.mark.parametrize(
    ("limits", "measured"),
    [
        (Validate(max_p95_ms=1.0), "2.000 ms"),
        (Validate(max_size_bytes=1000), "123,456 bytes"),
        (Validate(max_rss_mb=50.0), "60.0 MB"),
    ],
)
def test_costs_of_what_ships_fail_above_their_limits(limits: Validate, measured: str) -> None:
    (gate,) = cost_gates(rows(int8=1.0, fp32=99.0), limits)
    assert (gate.subject, gate.status, gate.measured) == ("onnxruntime int8", "failed", measured)


def test_costs_within_their_limits_pass_and_without_limits_are_not_judged() -> None:
    limits = Validate(max_p95_ms=2.0, max_size_bytes=123_456, max_rss_mb=60.0)
    assert {gate.status for gate in cost_gates(rows(int8=1.0), limits)} == {"passed"}
    assert cost_gates(rows(int8=1.0), Validate()) == []


def test_a_limit_that_nothing_was_measured_for_fails() -> None:
    unmeasured = [replace(row, timings=()) for row in rows(int8=1.0)]
    first, second = cost_gates(unmeasured, Validate(max_p95_ms=1.0))
    assert (first.status, second.status) == ("skipped", "failed")
    assert second.measured == "nothing that ships could be measured here"


def test_nothing_compared_fails() -> None:
    assert nothing_compared(rows(fp32=1.0), 10)[0].status == "passed"
    assert nothing_compared(rows(fp32=1.0), 0)[0].status == "failed"
    assert nothing_compared([], 10)[0].status == "failed"
    assert nothing_compared([replace(row, timings=()) for row in rows(fp32=1.0)], 10)[0].status == "failed"
