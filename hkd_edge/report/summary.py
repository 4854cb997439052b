"""The result of a validation as Markdown, readable in a terminal: verdict, one table, what the numbers mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hkd_edge.evaluate.result import Gate, Row, Validation
from hkd_edge.report.wording import interval, milliseconds, percent

_HEADERS = ("artefact", "top-1 %", "95 % interval", "drop", "agrees %", "p50 ms", "p95 ms", "kB", "ships")
_SURE_HEADERS = ("artefact", "temperature", "error", "after", "class %", "right %", "concept %", "right %", "unsure %")


def markdown_summary(validation: Validation) -> str:
    """Failed gates, one row for each artefact, then the sentences that belong to it."""
    sure = [row for row in validation.rows if row.decided is not None]
    lines = [
        f"# {_text(validation.name)}: {validation.verdict}",
        "",
        *_failures(validation.failed_gates),
        *_table(_HEADERS, [_cells(row) for row in validation.rows]),
        "",
        *(
            f"- {row.title}: {'ships' if row.shipped else 'does not ship'}, {_text(row.reason)}"
            for row in validation.rows
        ),
        "",
        *_sentences(validation),
        "",
        *(_table(_SURE_HEADERS, [_sure_cells(row) for row in sure]) if sure else ()),
        *(("", *_sure_sentence(sure)) if sure else ()),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _failures(gates: Sequence[Gate]) -> Iterator[str]:
    for gate in gates:
        by = f" ({gate.images})" if gate.images else ""
        found = f"expected {gate.expected}, measured {gate.measured}{by}"
        yield f"- **failed** {gate.name} of {_text(gate.subject)}: {found}"
    if gates:
        yield ""


def _cells(row: Row) -> list[str]:
    return [
        row.title,
        percent(row.test.top1),
        interval(row.test),
        percent(row.test_difference.top1_drop),
        percent(row.test_difference.agreement),
        milliseconds(row.latency.p50_ms if row.latency else None),
        milliseconds(row.latency.p95_ms if row.latency else None),
        f"{row.size_bytes / 1e3:,.0f}",
        "yes" if row.shipped else "no",
    ]


def _sure_cells(row: Row) -> list[str]:
    assert row.decided is not None
    decided = row.decided
    return [
        row.title,
        f"{row.confidence.temperature:.3f}" if row.confidence else percent(None),
        percent(row.test.calibration_error),
        percent(row.calibrated_error),
        *map(percent, (decided.class_coverage, decided.class_accuracy)),
        *map(percent, (decided.concept_coverage, decided.concept_accuracy, decided.unsure)),
    ]


def _sentences(validation: Validation) -> Iterator[str]:
    reference, machine = validation.reference, validation.machine
    yield f"{reference.title}: {percent(reference.test.top1)} % of {reference.test.images:,} test images."
    if reference.choice:
        top1, images = percent(reference.choice.top1), f"{reference.choice.images:,}"
        yield f"Validation images ({top1} % of {images}) chose what ships; test images only judge."
    for precision in dict.fromkeys(cross.precision for cross in validation.cross_agreement):
        pairs = [
            f"{' and '.join(cross.targets)} {percent(cross.agreement)} %"
            for cross in validation.cross_agreement
            if cross.precision == precision
        ]
        yield f"Same {precision} answer: {', '.join(pairs)}."
    for target, runtime in {row.target: row.runtime for row in validation.rows if not row.timings}.items():
        yield f"{target} cannot run here; its answers are those of {runtime}, and it is not timed."
    runtimes = ", ".join(f"{name} {version}" for name, version in machine.runtimes.items())
    where = _text(machine.facts.get("cpu", "this machine"))
    yield f"Latency: one image at a time, {machine.threads} thread(s), artefacts in turn, on {where}, {runtimes}."


def _sure_sentence(rows: Sequence[Row]) -> Iterator[str]:
    wanted = next((row.confidence for row in rows if row.confidence is not None), None)
    if wanted is not None:
        yield (
            f"Sure answers: the class, else a concept, else none. Thresholds by {wanted.images:,} validation images "
            f"for {wanted.accuracy:g} % right answers at a level of {wanted.confidence_level:g} %; this table is of "
            "the test images, its errors are those of calibration, before and after the temperature."
        )


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns are as wide in a terminal as their widest cell; numbers stand to the right."""
    escaped = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *escaped, strict=True)]
    rule = "|".join("-" * (width + 2) if index == 0 else "-" * (width + 1) + ":" for index, width in enumerate(widths))
    return [_line(headers, widths), f"|{rule}|", *(_line(row, widths) for row in escaped)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return f"| {' | '.join(padded)} |"


def _text(text: str) -> str:
    """Without what Markdown would take for a table's border."""
    return text.replace("|", "\\|")
