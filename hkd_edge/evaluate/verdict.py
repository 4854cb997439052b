"""Which artefact of each target is shipped, and why. Validation images decide, never test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hkd_edge.recipe.delivery import Validate

# Float artefacts must answer like the torch student: rounding turns a handful of images in ten thousand, that of FP16
# one or two in the validation images of a small data set.
MIN_FLOAT_AGREEMENT = {"fp32": 99.9, "fp16": 99.5}

NOT_RUN = "not run on a GPU yet: the board builds its engine at first use and checks the golden images"


@dataclass(frozen=True)
class Measured:
    """One artefact on the validation images (percent) and on this machine's clock; None if it cannot run here."""

    target: str
    precision: str
    validation_top1: float
    validation_agreement: float
    p50_ms: float | None


@dataclass(frozen=True)
class Verdict:
    """Whether the artefact is right enough to be used at all, whether it is the one that its target ships, and why."""

    accurate: bool
    shipped: bool
    reason: str


def judge(measured: Sequence[Measured], student_top1: float, gates: Validate) -> list[Verdict]:
    """A verdict for each artefact in the order given.

    A target ships int8 if it is accurate and faster than each accurate float artefact, or need not be
    (`int8_must_be_faster`), otherwise its fastest accurate float artefact. A target without an accurate artefact ships
    none, nor does one that cannot run here, however right its numbers are in the runtime that stood in for it.
    """
    faults = [_inaccuracy(each, student_top1, gates) for each in measured]
    timed = [
        (each, each.p50_ms)
        for each, fault in zip(measured, faults, strict=True)
        if not fault and each.p50_ms is not None
    ]
    return [
        Verdict(False, False, fault)
        if fault
        else _compared(each, [rival for rival in timed if rival[0].target == each.target], gates)
        for each, fault in zip(measured, faults, strict=True)
    ]


def _compared(each: Measured, timed: Sequence[tuple[Measured, float]], gates: Validate) -> Verdict:
    """The verdict on an accurate artefact, given all accurate ones of its target with their latencies."""
    if each.p50_ms is None:
        return Verdict(True, False, NOT_RUN)
    if len(timed) == 1:
        return Verdict(True, True, "the only accurate artefact of its target")
    shipped = _shipped(timed, gates)
    rivals = [rival for rival in timed if rival[0] is not each]
    rival, latency = min(rivals, key=lambda one: one[1]) if each is shipped else _find(shipped, timed)
    told = f"{latency / each.p50_ms:.2f}x the speed of {rival.precision} at batch 1"
    if each is shipped:
        return Verdict(True, True, told)
    if rival.precision == "int8" and not gates.int8_must_be_faster:
        return Verdict(True, False, "int8 is accurate and preferred")
    return Verdict(True, False, f"held back: {told}")


def _shipped(timed: Sequence[tuple[Measured, float]], gates: Validate) -> Measured:
    floats = [one for one in timed if one[0].precision != "int8"]
    quantized = [one for one in timed if one[0].precision == "int8"]
    if not floats:
        return quantized[0][0]
    fastest, latency = min(floats, key=lambda one: one[1])
    for each, its_latency in quantized:
        if its_latency < latency or not gates.int8_must_be_faster:
            return each
    return fastest


def _find(wanted: Measured, timed: Sequence[tuple[Measured, float]]) -> tuple[Measured, float]:
    return next(one for one in timed if one[0] is wanted)


def _inaccuracy(each: Measured, student_top1: float, gates: Validate) -> str:
    """What is wrong with the answers, or an empty text."""
    minimum = MIN_FLOAT_AGREEMENT.get(each.precision, gates.min_agreement)
    if each.validation_agreement < minimum:
        return (
            f"expected to agree with the torch student on >= {minimum:g} % of the validation images, "
            f"got {each.validation_agreement:.2f} %"
        )
    drop = student_top1 - each.validation_top1
    if drop > gates.max_top1_drop:
        return f"expected to lose <= {gates.max_top1_drop:g} points of validation top-1, lost {drop:.2f}"
    return ""
