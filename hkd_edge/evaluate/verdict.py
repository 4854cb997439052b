"""Which artefact of each target is shipped, and why. Validation images decide, never test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOT_RUN = "not run on a GPU yet: the board builds its engine at first use and checks the golden images"


@dataclass(frozen=True)
class Measured:
    """One artefact: what is wrong with its answers (empty if nothing), and its latency; None if it cannot run here."""

    target: str
    precision: str
    fault: str
    p50_ms: float | None


@dataclass(frozen=True)
class Verdict:
    """Whether the artefact is right enough to be used at all, whether it is the one that its target ships, and why."""

    accurate: bool
    shipped: bool
    reason: str


def judge(measured: Sequence[Measured], *, int8_must_be_faster: bool) -> list[Verdict]:
    """A verdict for each artefact in the order given.

    A target ships int8 if it is accurate and faster than each accurate float artefact, or need not be
    (`int8_must_be_faster`), otherwise its fastest accurate float artefact. A target without an accurate artefact ships
    none, nor does one that cannot run here, however right its numbers are in the runtime that stood in for it.
    """
    timed = [(each, each.p50_ms) for each in measured if not each.fault and each.p50_ms is not None]
    return [
        Verdict(False, False, each.fault)
        if each.fault
        else _compared(each, [rival for rival in timed if rival[0].target == each.target], int8_must_be_faster)
        for each in measured
    ]


def _compared(each: Measured, timed: Sequence[tuple[Measured, float]], int8_must_be_faster: bool) -> Verdict:
    """The verdict on an accurate artefact, given all accurate ones of its target with their latencies."""
    if each.p50_ms is None:
        return Verdict(True, False, NOT_RUN)
    if len(timed) == 1:
        return Verdict(True, True, "the only accurate artefact of its target")
    shipped = _shipped(timed, int8_must_be_faster)
    rivals = [rival for rival in timed if rival[0] is not each]
    rival, latency = min(rivals, key=lambda one: one[1]) if each is shipped else _find(shipped, timed)
    told = f"{latency / each.p50_ms:.2f}x the speed of {rival.precision} at batch 1"
    if each is shipped:
        return Verdict(True, True, told)
    if rival.precision == "int8" and not int8_must_be_faster:
        return Verdict(True, False, "int8 is accurate and preferred")
    return Verdict(True, False, f"held back: {told}")


def _shipped(timed: Sequence[tuple[Measured, float]], int8_must_be_faster: bool) -> Measured:
    floats = [one for one in timed if one[0].precision != "int8"]
    quantized = [one for one in timed if one[0].precision == "int8"]
    if not floats:
        return quantized[0][0]
    fastest, latency = min(floats, key=lambda one: one[1])
    for each, its_latency in quantized:
        if its_latency < latency or not int8_must_be_faster:
            return each
    return fastest


def _find(wanted: Measured, timed: Sequence[tuple[Measured, float]]) -> tuple[Measured, float]:
    return next(one for one in timed if one[0] is wanted)
