"""Which artefact is shipped, and the reason that is given."""

from __future__ import annotations

from hkd_edge.evaluate.verdict import Measured, judge
from hkd_edge.recipe.delivery import Validate

GATES = Validate(max_top1_drop=0.5, min_agreement=98.0, int8_must_be_faster=True)


def fp32(p50_ms: float = 1.0, agreement: float = 100.0) -> Measured:
    return Measured("onnxruntime", "fp32", 93.0, agreement, p50_ms)


def int8(p50_ms: float = 0.5, top1: float = 92.9, agreement: float = 99.0) -> Measured:
    return Measured("onnxruntime", "int8", top1, agreement, p50_ms)


def test_accurate_and_faster_int8_is_shipped() -> None:
    first, second = judge([fp32(), int8()], 93.0, GATES)
    assert (first.shipped, second.shipped) == (False, True)
    assert second.reason == "2.00x the speed of fp32 at batch 1"


def test_slower_int8_is_held_back_and_fp32_shipped() -> None:
    first, second = judge([fp32(), int8(p50_ms=1.25)], 93.0, GATES)
    assert (first.shipped, second.shipped) == (True, False)
    assert second.reason == "held back: 0.80x the speed of fp32 at batch 1"
    assert second.accurate


def test_slower_int8_is_shipped_where_speed_does_not_matter() -> None:
    gates = Validate(int8_must_be_faster=False)
    first, second = judge([fp32(), int8(p50_ms=1.25)], 93.0, gates)
    assert (first.shipped, second.shipped) == (False, True)


def test_int8_that_lost_accuracy_is_not_shipped_however_fast() -> None:
    first, second = judge([fp32(), int8(p50_ms=0.1, top1=92.0)], 93.0, GATES)
    assert first.shipped
    assert not second.accurate
    assert second.reason == "expected to lose <= 0.5 points of validation top-1, lost 1.00"


def test_int8_that_answers_otherwise_is_not_shipped_even_at_equal_accuracy() -> None:
    _, second = judge([fp32(), int8(top1=93.0, agreement=97.5)], 93.0, GATES)
    assert not second.accurate
    assert "agree with the torch student on >= 98 %" in second.reason


def test_a_float_file_that_answers_otherwise_than_torch_is_not_shipped() -> None:
    (verdict,) = judge([fp32(agreement=46.8)], 93.0, GATES)
    assert not verdict.shipped
    assert "got 46.80 %" in verdict.reason


def test_int8_must_beat_fp16_too() -> None:
    fp16 = Measured("onnxruntime", "fp16", 93.0, 99.9, 0.4)
    verdicts = judge([fp32(), fp16, int8(p50_ms=0.5)], 93.0, GATES)
    assert [verdict.shipped for verdict in verdicts] == [False, True, False]
    assert [verdict.reason for verdict in verdicts] == [
        "held back: 0.40x the speed of fp16 at batch 1",
        "1.25x the speed of int8 at batch 1",
        "held back: 0.80x the speed of fp16 at batch 1",
    ]


def test_of_equally_fast_files_one_is_shipped() -> None:
    assert [verdict.shipped for verdict in judge([fp32(), int8(p50_ms=1.0)], 93.0, GATES)] == [True, False]


def test_an_artefact_that_cannot_run_here_is_judged_but_not_shipped() -> None:
    right = Measured("tensorrt", "int8", 93.0, 99.0, None)
    wrong = Measured("tensorrt", "int8", 93.0, 46.8, None)
    assert judge([right], 93.0, GATES)[0].accurate
    assert not judge([right], 93.0, GATES)[0].shipped
    assert not judge([wrong], 93.0, GATES)[0].accurate


def test_targets_are_judged_each_for_itself() -> None:
    other = Measured("openvino", "fp32", 93.0, 100.0, 5.0)
    assert [verdict.shipped for verdict in judge([fp32(), int8(), other], 93.0, GATES)] == [False, True, True]
