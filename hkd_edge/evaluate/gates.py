"""What artefacts must hold: each gate says what was expected and what was measured.

Gates of accuracy are judged for every artefact, because every one can be asked for by name. Gates of cost are judged
for what ships. A limit that nothing could be measured for fails: nothing compared is no success.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from hkd_edge.evaluate.result import Cross, Difference, Gate, Row
from hkd_edge.recipe.delivery import Validate

# Float artefacts must answer like the torch student: rounding turns a handful of images in ten thousand.
MIN_FLOAT_AGREEMENT = {"fp32": 99.9, "fp16": 99.5}
# Rounding turns images whose two best classes are all but equal, of a student that is often unsure one or two in some
# hundred: that many are no evidence against a float artefact, however few images there are.
MAX_TURNED_BY_CHANCE = 2
# So few images are no evidence against a class: one of ten is a drop of ten points.
MAX_LOST_BY_CHANCE = 2
# Points or percent; the difference of two percentages may miss a limit by its last bit.
_ROUNDING = 1e-9
_MEGABYTE = 1e6
_NOT_HERE = "its runtime cannot run here"

_Status = Literal["passed", "failed"]


def least_agreement(precision: str, images: int, int8: float) -> float:
    """Percent of so many images that a file must answer like the reference; `int8` is the limit of int8 itself."""
    if precision not in MIN_FLOAT_AGREEMENT:
        return int8
    return min(MIN_FLOAT_AGREEMENT[precision], 100 - 100 * MAX_TURNED_BY_CHANCE / images)


def accuracy_gates(
    title: str, precision: str, difference: Difference, limits: Validate, judges: tuple[int, str]
) -> list[Gate]:
    """The gates on the answers of one artefact, which differ from the reference's by `difference`.

    `judges` are how many images were answered, and of what: (250, "validation").
    """
    images = f"{judges[0]:,} {judges[1]} images"
    agreement = least_agreement(precision, judges[0], limits.min_agreement)
    bad = [name for name, lost in difference.class_lost.items() if lost > MAX_LOST_BY_CHANCE]
    bad = [name for name in bad if difference.class_drop[name] > limits.max_class_drop + _ROUNDING]
    worst, drop = difference.worst_class
    told = ", ".join(f"{difference.class_drop[name]:.2f} in {name}" for name in bad or [worst] if drop > 0) or "none"
    return [
        Gate(
            *("max_top1_drop", title, _status(difference.top1_drop <= limits.max_top1_drop + _ROUNDING)),
            f"to lose <= {limits.max_top1_drop:g} points of top-1",
            f"lost {difference.top1_drop:.2f}",
            images,
        ),
        Gate(
            *("max_class_drop", title, _status(not bad)),
            f"to lose <= {limits.max_class_drop:g} points in each class",
            f"lost {told}",
            images,
        ),
        Gate(
            *("min_agreement", title, _status(difference.agreement >= agreement - _ROUNDING)),
            f"to answer >= {agreement:g} % of the images like the reference",
            f"{difference.agreement:.2f} %",
            images,
        ),
    ]


def cross_gates(pairs: Sequence[Cross], limits: Validate) -> list[Gate]:
    """The gate on what runtimes answer to the same images in the same precision."""
    return [
        Gate(
            *("min_cross_agreement", f"{' and '.join(pair.targets)} {pair.precision}"),
            _status(pair.agreement >= limits.min_cross_agreement - _ROUNDING),
            f"to answer >= {limits.min_cross_agreement:g} % of the images alike",
            f"{pair.agreement:.2f} %",
            "test images",
        )
        for pair in pairs
    ]


def cost_gates(rows: Sequence[Row], limits: Validate) -> list[Gate]:
    """The gates on latency, size and memory of what ships; those for which the limits say nothing are left out."""
    shipped = [row for row in rows if row.shipped]
    return [
        *_limited("max_p95_ms", limits.max_p95_ms, shipped, _p95_ms, "p95 of one image <= {:g} ms", "{:.3f} ms"),
        *_limited(
            *("max_size_bytes", limits.max_size_bytes, shipped),
            *(lambda row: row.size_bytes, "all files together <= {:,.0f} bytes", "{:,.0f} bytes"),
        ),
        *_limited("max_rss_mb", limits.max_rss_mb, shipped, _rss_mb, "resident memory <= {:g} MB", "{:.1f} MB"),
    ]


def speed_gates(rows: Sequence[Row], limits: Validate, *, fails: bool = False) -> list[Gate]:
    """The gate on int8 being faster than the fastest accurate float artefact of its target.

    An int8 that is slower and does not ship is `held_back`, unless it `fails`; one that ships all the same fails.
    """
    if not limits.int8_must_be_faster:
        return []
    return [_speed_gate(row, rows, fails or row.shipped) for row in rows if row.precision == "int8" and row.accurate]


def nothing_compared(rows: Sequence[Row], images: int) -> list[Gate]:
    """The gate that fails where there was no artefact, or no image to compare by."""
    here = [row for row in rows if row.timings]
    found = f"{len(rows)} artefacts, {len(here)} of them on their own runtime, {images} images"
    expected = "an artefact whose runtime runs here, and labelled images"
    return [Gate("something_compared", "all", _status(bool(here) and images > 0), expected, found)]


def _speed_gate(row: Row, rows: Sequence[Row], fails: bool) -> Gate:
    rivals = [
        (each, each.latency)
        for each in rows
        if each.target == row.target and each.precision != "int8" and each.accurate and each.latency is not None
    ]
    name, expected = "int8_must_be_faster", "faster at one image than the float artefacts of its target"
    if row.latency is None:
        return Gate(name, row.title, "skipped", expected, _NOT_HERE)
    if not rivals:
        return Gate(name, row.title, "skipped", expected, "there is no accurate one")
    rival, latency = min(rivals, key=lambda one: one[1].p50_ms)
    told = f"{latency.p50_ms / row.latency.p50_ms:.2f}x the speed of {rival.precision}"
    if row.latency.p50_ms < latency.p50_ms:
        return Gate(name, row.title, "passed", expected, told)
    return Gate(name, row.title, "failed" if fails else "held_back", expected, told)


def _limited(
    name: str,
    limit: float | None,
    rows: Sequence[Row],
    measure: Callable[[Row], float | None],
    expected: str,
    measured: str,
) -> list[Gate]:
    if limit is None:
        return []
    values = [(row, measure(row)) for row in rows]
    gates = [
        Gate(name, row.title, "skipped", expected.format(limit), _NOT_HERE)
        if value is None
        else Gate(name, row.title, _status(value <= limit), expected.format(limit), measured.format(value))
        for row, value in values
    ]
    if any(gate.status != "skipped" for gate in gates):
        return gates
    return [*gates, Gate(name, "all", "failed", expected.format(limit), "nothing that ships could be measured here")]


def _p95_ms(row: Row) -> float | None:
    return None if row.latency is None else row.latency.p95_ms


def _rss_mb(row: Row) -> float | None:
    start = row.cold_start
    return None if start is None or start.rss_bytes is None else start.rss_bytes / _MEGABYTE


def _status(fits: bool) -> _Status:
    return "passed" if fits else "failed"
