"""What it costs: accuracy against latency and size, how calls spread, fresh starts, other boards."""

from __future__ import annotations

from markupsafe import Markup

from hkd_edge.report.findings import Findings
from hkd_edge.report.material import Board, Material
from hkd_edge.report.page import Section, columns, figure, paragraph, table
from hkd_edge.report.plots.speed import front_plot, latency_plot
from hkd_edge.report.wording import listed, megabytes, milliseconds, percent


def speed_section(material: Material, findings: Findings) -> Section | None:
    """The front, the distributions and the tables; None if nothing was timed."""
    rows = [row for row in material.validation.rows if row.latency]
    if not rows:
        return None
    seconds = {row.title: material.arrays.get(f"seconds-{row.array}-1") for row in rows}
    known = {title: each for title, each in seconds.items() if each is not None}
    drawings = [
        figure(
            front_plot(rows, findings.front),
            "Bars: 95 % intervals. Area: size of the files. On the front, where nothing is better in one without being "
            f"worse in another: {listed(findings.front)}.",
        )
    ]
    if known:
        drawings.append(
            figure(latency_plot(rows, known), "One image at a time. Long mark: p50; short marks: p90 and p99.")
        )
    return Section("Speed and size", columns(drawings) + _timings(material) + _starts(material))


def boards_section(material: Material, findings: Findings) -> Section | None:
    """What was measured elsewhere; None if nothing was."""
    if not material.boards:
        return None
    return Section("Boards", Markup("").join(map(_board, material.boards)))


def _timings(material: Material) -> Markup:
    rows = [
        [
            row.title,
            f"{timing.batch}",
            *map(milliseconds, (timing.p50_ms, timing.p90_ms, timing.p95_ms, timing.p99_ms, timing.min_ms)),
            f"{timing.images_per_s:,.0f}",
            f"{timing.runs:,}",
        ]
        for row in material.validation.rows
        for timing in row.timings
    ]
    headers = ["artefact", "images", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "min ms", "images/s", "calls"]
    machine = material.validation.machine
    note = f"Time of one call, artefacts in turn, warm-up discarded, {machine.threads} thread(s)."
    return table("Latency by number of images", headers, rows, note)


def _starts(material: Material) -> Markup:
    rows = [
        [
            row.title,
            milliseconds(row.cold_start.load_ms),
            milliseconds(row.cold_start.first_answer_ms),
            megabytes(row.cold_start.rss_bytes),
            megabytes(row.cold_start.rss_peak_bytes),
            f"{row.cold_start.starts}",
        ]
        for row in material.validation.rows
        if row.cold_start
    ]
    if not rows:
        return Markup("")
    headers = ["artefact", "load ms", "first answer ms", "memory MB", "peak MB", "starts"]
    return table("Fresh process", headers, rows, "Medians. Memory: resident, with Python and numpy.")


def _board(board: Board) -> Markup:
    rows = [
        [
            row.artefact,
            row.runtime,
            *map(milliseconds, (row.p50_ms, row.p90_ms, row.p99_ms)),
            f"{row.images_per_s:,.0f}",
            *map(milliseconds, (row.load_ms, row.first_answer_ms)),
            megabytes(row.rss_bytes),
            percent(row.top1),
        ]
        for row in board.rows
    ]
    headers = ["artefact", "runtime", "p50 ms", "p90 ms", "p99 ms", "images/s", "load ms", "first ms", "MB", "top-1 %"]
    note = f"{board.machine}; {board.threads} thread(s); bundle {board.sha256[:12]}."
    doubts = [*(f"Not measured: {each}" for each in board.skipped), *(f"Warning: {each}" for each in board.warnings)]
    return table(board.name, headers, rows, note) + Markup("").join(map(paragraph, doubts))
