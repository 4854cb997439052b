"""The result of a run as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def markdown_summary(name: str, result: Mapping[str, Any]) -> str:
    """A title, one table row per artefact, and what the numbers mean; `result` is what validation.json holds."""
    student, machine, latency = result["student"], result["machine"], result["latency"]
    lines = [
        f"# {name}",
        "",
        "| target | precision | top-1 % | concepts % | agrees with torch % | p50 ms | p90 ms | p99 ms | kB | shipped |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
        *(_row(row) for row in result["rows"]),
        "",
        f"Torch student: {student['top1']:.2f} % of {student['images']:,} test images, "
        f"{student['validation_top1']:.2f} % of {student['validation_images']:,} validation images. "
        "Validation images chose what is shipped; test images only judge.",
        "",
        *(
            f"{pair['targets'][0]} and {pair['targets'][1]} give the same {pair['precision']} answer "
            f"for {pair['agreement']:.2f} % of the test images."
            for pair in result["cross_agreement"]
        ),
        "",
        f"Latency: one image, {latency['threads']} thread(s), {latency['runs']} runs, artefacts in turn, "
        f"on {machine['processor']} ({machine['cores']} cores), "
        + ", ".join(f"{target} {version}" for target, version in machine["runtimes"].items())
        + ".",
    ]
    return "\n".join(lines) + "\n"


def _row(row: Mapping[str, Any]) -> str:
    concepts = "-" if row["concept_top1"] is None else f"{row['concept_top1']:.2f}"
    shipped = f"yes: {row['reason']}" if row["shipped"] else f"no: {row['reason']}"
    return (
        f"| {row['target']} | {row['precision']} | {row['top1']:.2f} | {concepts} | {row['agreement']:.2f} "
        f"| {row['p50_ms']:.3f} | {row['p90_ms']:.3f} | {row['p99_ms']:.3f} | {row['size_bytes'] / 1000:.0f} "
        f"| {shipped} |"
    )
