"""What it comes to: the verdict, what ships, every artefact in one table; and the gates that judged."""

from __future__ import annotations

from markupsafe import Markup

from hkd_edge.evaluate.result import Gate, Row, Validation
from hkd_edge.report.findings import Findings
from hkd_edge.report.material import Material
from hkd_edge.report.page import NOTHING, Section, badge, paragraph, table
from hkd_edge.report.wording import interval, listed, milliseconds, percent, size

_ORDER = ("failed", "held_back", "skipped", "passed")
STATUS_WORDS = {"failed": "failed", "held_back": "held back", "skipped": "skipped", "passed": "passed"}


def summary_section(material: Material, findings: Findings) -> Section:
    """Failed gates first, then the verdict in sentences and numbers."""
    validation = material.validation
    shipped = [row for row in validation.rows if row.shipped]
    parts = [
        _verdict(validation, shipped),
        _failures(validation.failed_gates),
        Markup('<div class="cards">{}</div>').format(Markup("").join(map(_card, shipped))) if shipped else Markup(""),
        overview_table(validation),
        paragraph(_reference_sentence(validation), " ", _stand_in_sentence(validation)),
    ]
    return Section("Summary", Markup("").join(parts))


def gates_section(material: Material, findings: Findings) -> Section | None:
    """All gates, the failed ones first; None if there are none."""
    gates = sorted(material.validation.gates, key=lambda gate: _ORDER.index(gate.status))
    if not gates:
        return None
    counts = [f"{sum(gate.status == status for gate in gates)} {STATUS_WORDS[status]}" for status in _ORDER]
    rows = [
        [gate.name, gate.subject, _status(gate), gate.expected, gate.measured, gate.images or NOTHING] for gate in gates
    ]
    headers = ["gate", "subject", "status", "expected", "measured", "judged by"]
    note = "Held back: the artefact loses its place to another of its target. Skipped: could not be measured here."
    return Section("Gates", table(f"{len(gates)} gates: {listed(counts)}", headers, rows, note))


def overview_table(validation: Validation) -> Markup:
    """One row for each artefact."""
    rows = [
        [
            row.title,
            percent(row.test.top1),
            interval(row.test),
            percent(row.test_difference.top1_drop),
            percent(row.test_difference.agreement),
            milliseconds(row.latency.p50_ms if row.latency else None),
            milliseconds(row.latency.p95_ms if row.latency else None),
            f"{row.size_bytes / 1e3:,.0f}",
            "ships" if row.shipped else "no",
            row.reason,
        ]
        for row in validation.rows
    ]
    headers = ["artefact", "top-1 %", "95 % interval", "drop", "agrees %", "p50 ms", "p95 ms", "kB", "ships", "why"]
    note = (
        f"Of {validation.images}. Interval: Wilson's. Drop, in points, and agreement: against the "
        f"{validation.reference.title}. Latency: one image at a time, {validation.machine.threads} thread(s)."
    )
    return table("All artefacts", headers, rows, note)


def _verdict(validation: Validation, shipped: list[Row]) -> Markup:
    passed = validation.verdict == "passed"
    word = badge("\N{CHECK MARK} passed" if passed else "\N{BALLOT X} failed", "good" if passed else "bad")
    if not passed:
        count = len(validation.failed_gates)
        told = f"{count} gate{'s' if count != 1 else ''} failed; do not ship these files."
    elif shipped:
        told = f"{listed([row.title for row in shipped])} {'ship' if len(shipped) > 1 else 'ships'}."
    else:
        told = "No artefact ships."
    return Markup('<p class="verdict">{} <span>{}</span></p>').format(word, told)


def _failures(gates: tuple[Gate, ...]) -> Markup:
    if not gates:
        return Markup("")
    items = Markup("").join(
        Markup("<li><strong>{}</strong> of {}: expected {}, measured {}{}</li>").format(
            gate.name, gate.subject, gate.expected, gate.measured, f" ({gate.images})" if gate.images else ""
        )
        for gate in gates
    )
    return Markup('<div class="alert" role="alert"><h3>Failed gates</h3><ul>{}</ul></div>').format(items)


def _card(row: Row) -> Markup:
    latency = row.latency.p50_ms if row.latency else None
    speed = (
        f"A call with one image takes {milliseconds(latency)} ms at the median: {row.reason}."
        if latency
        else row.reason
    )
    return Markup(
        '<article class="card"><h3>{}</h3><dl class="figures">'
        "<div><dt>top-1</dt><dd>{} <small>%</small></dd></div>"
        "<div><dt>p50, one image</dt><dd>{} <small>ms</small></dd></div>"
        "<div><dt>size</dt><dd>{} <small>{}</small></dd></div></dl>"
        "<p>It is right on {}&nbsp;% of {:,} test images (95&nbsp;% interval {}&nbsp;%).</p>"
        "<p>{}</p><p>Its files have {:,} bytes.</p></article>"
    ).format(
        row.title,
        percent(row.test.top1),
        milliseconds(latency),
        *size(row.size_bytes).split(" "),
        percent(row.test.top1),
        row.test.images,
        interval(row.test),
        speed,
        row.size_bytes,
    )


def _reference_sentence(validation: Validation) -> str:
    reference = validation.reference
    told = (
        f"The {reference.title} is right on {percent(reference.test.top1)} % of {reference.test.images:,} test images"
    )
    if reference.choice is None:
        return f"{told}."
    return (
        f"{told} and on {percent(reference.choice.top1)} % of {reference.choice.images:,} validation images. "
        "Validation images chose what ships; test images only judge."
    )


def _stand_in_sentence(validation: Validation) -> str:
    untimed = {row.target: row.runtime for row in validation.rows if not row.timings}
    return " ".join(
        f"{target} cannot run here; its answers are those of {runtime}, and it is not timed."
        for target, runtime in untimed.items()
    )


def _status(gate: Gate) -> Markup:
    tones = {"failed": "bad", "held_back": "caution", "skipped": "quiet", "passed": "good"}
    return badge(STATUS_WORDS[gate.status], tones[gate.status])  # type: ignore[arg-type]
