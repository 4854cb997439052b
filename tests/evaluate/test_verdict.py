"""Which artefact is shipped, and the reason that is given."""

from __future__ import annotations

from hkd_edge.evaluate.verdict import Measured, Verdict, judge


def fp32(p50_ms: float = 1.0) -> Measured:
    return Measured("onnxruntime", "fp32", "", p50_ms)


def int8(p50_ms: float = 0.5, fault: str = "") -> Measured:
    return Measured("onnxruntime", "int8", fault, p50_ms)


def verdicts(*measured: Measured, faster: bool = True) -> list[Verdict]:
    return judge(measured, int8_must_be_faster=faster)


def test_accurate_and_faster_int8_is_shipped() -> None:
    first, second = verdicts(fp32(), int8())
    assert (first.shipped, second.shipped) == (False, True)
    assert second.reason == "2.00x the speed of fp32 at batch 1"


def test_slower_int8_is_held_back_and_fp32_shipped() -> None:
    first, second = verdicts(fp32(), int8(p50_ms=1.25))
    assert (first.shipped, second.shipped) == (True, False)
    assert second.reason == "held back: 0.80x the speed of fp32 at batch 1"
    assert second.accurate


def test_slower_int8_is_shipped_where_speed_does_not_matter() -> None:
    first, second = verdicts(fp32(), int8(p50_ms=1.25), faster=False)
    assert (first.shipped, second.shipped) == (False, True)


def test_int8_with_a_fault_is_not_shipped_however_fast() -> None:
    first, second = verdicts(fp32(), int8(p50_ms=0.1, fault="expected more, got less"))
    assert first.shipped
    assert second == Verdict(False, False, "expected more, got less")


def test_a_float_file_with_a_fault_is_not_shipped() -> None:
    (verdict,) = verdicts(Measured("onnxruntime", "fp32", "wrong", 1.0))
    assert not verdict.shipped


def test_int8_must_beat_fp16_too() -> None:
    fp16 = Measured("onnxruntime", "fp16", "", 0.4)
    found = verdicts(fp32(), fp16, int8(p50_ms=0.5))
    assert [verdict.shipped for verdict in found] == [False, True, False]
    assert [verdict.reason for verdict in found] == [
        "held back: 0.40x the speed of fp16 at batch 1",
        "1.25x the speed of int8 at batch 1",
        "held back: 0.80x the speed of fp16 at batch 1",
    ]


def test_of_equally_fast_files_one_is_shipped() -> None:
    assert [verdict.shipped for verdict in verdicts(fp32(), int8(p50_ms=1.0))] == [True, False]


def test_an_artefact_that_cannot_run_here_is_judged_but_not_shipped() -> None:
    right, wrong = Measured("tensorrt", "int8", "", None), Measured("tensorrt", "int8", "wrong", None)
    assert verdicts(right)[0].accurate
    assert not verdicts(right)[0].shipped
    assert not verdicts(wrong)[0].accurate


def test_targets_are_judged_each_for_itself() -> None:
    other = Measured("openvino", "fp32", "", 5.0)
    assert [verdict.shipped for verdict in verdicts(fp32(), int8(), other)] == [False, True, True]
