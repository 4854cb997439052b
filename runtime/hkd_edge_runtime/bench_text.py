"""A measurement as text for people, made of its JSON, so that one from another machine is shown alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NOT_SHOWN = "not shown here"
_MEGABYTE = 1e6
_TEXT_COLUMNS = 3  # target, precision, shipped


def bench_lines(report: Mapping[str, Any]) -> list[str]:
    """The lines for `Report.to_dict()` of the same format version."""
    return [
        f"{report['bundle']} (manifest {report['sha256'][:12]}), {report['created_by']}",
        *_machine_lines(report),
        "",
        *_table([_header(report), *map(_cells, report["rows"])]),
        "",
        *(f"{each['target']} {each['precision']}: not measured: {each['reason']}" for each in report["skipped"]),
        *_notes(report),
        *(f"warning: {warning}" for warning in report["warnings"]),
    ]


def _machine_lines(report: Mapping[str, Any]) -> Iterator[str]:
    board, before, after = report["board"], report["before"], report["after"]
    facts = board["facts"]
    memory = "" if board["memory_bytes"] is None else f", {board['memory_bytes'] / 1e9:.1f} GB"
    yield _line("board", facts.get("model", NOT_SHOWN))
    yield _line("processor", f"{facts.get('cpu', NOT_SHOWN)} ({board['usable_cores']} usable){memory}")
    yield _line("cpu flags", " ".join(board["cpu_flags"]) or NOT_SHOWN)
    parts = ("system", "jetson_linux", "kernel", "architecture")
    yield _line("system", ", ".join(facts[name] for name in parts if name in facts) + f", Python {facts['python']}")
    yield _line("temperature", _before_after(_temperatures(before), _temperatures(after)))
    yield _line("clocks", _before_after(_clocks(before), _clocks(after)))
    yield _line("throttling", _before_after(_throttling(before), _throttling(after)))
    if before["power_mode"] is not None:
        yield _line("power mode", _before_after(before["power_mode"], after["power_mode"] or NOT_SHOWN))


def _line(name: str, text: str) -> str:
    return f"{name:<12} {text}"


def _before_after(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _temperatures(conditions: Mapping[str, Any]) -> str:
    zones = conditions["temperatures_c"].items()
    return ", ".join(f"{name} {degrees:.1f} C" for name, degrees in zones) or NOT_SHOWN


def _clocks(conditions: Mapping[str, Any]) -> str:
    return ", ".join(map(_clock, conditions["clocks"])) or NOT_SHOWN


def _clock(clock: Mapping[str, Any]) -> str:
    mhz = clock["mhz"]
    frequency = f" {mhz['now']:.0f}" if "now" in mhz else ""
    most = f" of {mhz['max']:.0f}" if "max" in mhz else ""
    return f"{clock['name']} {clock['governor'] or ''}{frequency}{most} MHz".replace("  ", " ")


def _throttling(conditions: Mapping[str, Any]) -> str:
    """What slows the machine down; `none` only if it shows at least one such thing."""
    bits, slowing, events = conditions["throttled"], conditions["slowing"], conditions["events"]
    if bits is None and not slowing and not events:
        return NOT_SHOWN
    active = [*(bits or ()), *(f"{name} {state}" for name, state in slowing.items() if state > 0)]
    return ", ".join([*active, *(f"{name} {count}" for name, count in events.items() if count)]) or "none"


def _header(report: Mapping[str, Any]) -> list[str]:
    batches = [f"images/s at {batch}" for batch in report["settings"]["batches"]]
    times = ["p50 ms", "p90 ms", "p99 ms", "runs", "raw p50 ms", "over raw", "images/s", *batches]
    return ["target", "precision", "shipped", *times, "load ms", "first ms", "MB", "peak MB", "top-1 %"]


def _cells(row: Mapping[str, Any]) -> list[str]:
    latency, cold = row["latency"], row["cold_start"]
    return [
        f"{row['target']} {row['runtime']}",
        row["precision"],
        "yes" if row["shipped"] else "no",
        *(f"{latency[name]:.3f}" for name in ("p50_ms", "p90_ms", "p99_ms")),
        str(latency["runs"]),
        *_raw_cells(row),
        *(f"{timing['images_per_s']:.1f}" for timing in (latency, *row["throughput"])),
        *(f"{cold[name]:.1f}" for name in ("load_ms", "first_answer_ms")),
        *(_megabytes(cold[name]) for name in ("rss_bytes", "rss_peak_bytes")),
        "-" if row["accuracy"] is None else f"{row['accuracy']['top1']:.2f}",
    ]


def _raw_cells(row: Mapping[str, Any]) -> list[str]:
    raw, ratio = row["raw"], row["predict_over_raw"]
    return ["-", "-"] if raw is None else [f"{raw['p50_ms']:.3f}", f"{ratio:.3f}x"]


def _megabytes(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else f"{size_bytes / _MEGABYTE:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of texts to the left, of numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column >= _TEXT_COLUMNS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _notes(report: Mapping[str, Any]) -> Iterator[str]:
    settings, rows = report["settings"], report["rows"]
    yield (
        f"Times: predict and predict_batch with arrays, {settings['threads']} thread(s), artefacts in turns. "
        f"Cold start: median of {rows[0]['cold_start']['starts']} fresh processes."
    )
    if any(row["raw"] for row in rows):
        yield "Raw: the runtime's fastest call of the same file, on arrays bound beforehand, without this package."
    if report["accuracy_by"] != "none":
        whence = settings["images"] if report["accuracy_by"] == "images" else "the bundle's evaluation subset"
        yield f"Accuracy: {rows[0]['accuracy']['images']} images of {whence}."
