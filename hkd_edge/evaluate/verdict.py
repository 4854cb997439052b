"""Which artefact of each target is shipped, and why. Validation images decide, never test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hkd_edge.recipe.delivery import Validate

# A float artefact must answer like the torch student: rounding turns at most a handful of images in ten thousand.
_MIN_FLOAT_AGREEMENT = 99.9


@dataclass(frozen=True)
class Measured:
    """One artefact on the validation images (percent) and on this machine's clock."""

    target: str
    precision: str
    validation_top1: float
    validation_agreement: float
    p50_ms: float


@dataclass(frozen=True)
class Verdict:
    """Whether the artefact is right enough to be used at all, whether it is the one that its target ships, and why."""

    accurate: bool
    shipped: bool
    reason: str


def judge(measured: Sequence[Measured], student_top1: float, gates: Validate) -> list[Verdict]:
    """A verdict for each artefact in the order given.

    A target ships its fastest artefact that is accurate; INT8 that is not faster than fp32 on this machine is held
    back if `int8_must_be_faster`. A target without an accurate artefact ships none.
    """
    faults = [_inaccuracy(each, student_top1, gates) for each in measured]
    verdicts = []
    for each, fault in zip(measured, faults, strict=True):
        if fault:
            verdicts.append(Verdict(False, False, fault))
            continue
        rivals = [
            other
            for other, other_fault in zip(measured, faults, strict=True)
            if other.target == each.target and other is not each and not other_fault
        ]
        verdicts.append(_compare(each, rivals, gates))
    return verdicts


def _inaccuracy(each: Measured, student_top1: float, gates: Validate) -> str:
    """What is wrong with the answers, or an empty text."""
    minimum = _MIN_FLOAT_AGREEMENT if each.precision == "fp32" else gates.min_agreement
    if each.validation_agreement < minimum:
        return (
            f"expected to agree with the torch student on >= {minimum:g} % of the validation images, "
            f"got {each.validation_agreement:.2f} %"
        )
    drop = student_top1 - each.validation_top1
    if drop > gates.max_top1_drop:
        return f"expected to lose <= {gates.max_top1_drop:g} points of validation top-1, lost {drop:.2f}"
    return ""


def _compare(each: Measured, rivals: Sequence[Measured], gates: Validate) -> Verdict:
    if not rivals:
        return Verdict(True, True, "the only accurate artefact of its target")
    rival = min(rivals, key=lambda other: other.p50_ms)
    ratio = rival.p50_ms / each.p50_ms
    told = f"{ratio:.2f}x the speed of {rival.precision} at batch 1"
    if gates.int8_must_be_faster:
        return Verdict(True, ratio > 1, told if ratio > 1 else f"held back: {told}")
    chosen = each.precision == "int8"
    return Verdict(True, chosen, told if chosen else f"{rival.precision} is accurate and preferred")
