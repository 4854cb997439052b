"""The result of a run as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def markdown_summary(name: str, result: Mapping[str, Any]) -> str:
    """A title, one table row per artefact, and what the numbers mean; `result` is what validation.json holds."""
    student, machine, latency = result["student"], result["machine"], result["latency"]
    lines = [
        f"# {name}",
        "",
        "| target | precision | top-1 % | concepts % | agrees with torch % | p50 ms | p90 ms | p99 ms "
        f"| {latency['throughput_batch']} images ms | kB | shipped |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
        *(_row(row) for row in result["rows"]),
        "",
        f"Torch student: {student['top1']:.2f} % of {student['images']:,} test images, "
        f"{student['validation_top1']:.2f} % of {student['validation_images']:,} validation images. "
        "Validation images chose what is shipped; test images only judge.",
        "",
        *_decisions(result["rows"]),
        *_cross_agreement(result["cross_agreement"]),
        *(
            f"{row['target']} {row['precision']} with the precision that the runtime chooses for this processor: "
            f"agrees with torch on {row['default_precision_agreement']:.2f} %."
            for row in result["rows"]
            if row["default_precision_agreement"] is not None
        ),
        *(
            f"{target} cannot run here; its answers are those of {runtime}, and it is not timed."
            for target, runtime in {
                row["target"]: row["runtime"] for row in result["rows"] if row["p50_ms"] is None
            }.items()
        ),
        "",
        f"Latency: one image ({latency['runs']} runs) and {latency['throughput_batch']} images "
        f"({latency['throughput_runs']} runs, p50), {latency['threads']} thread(s), artefacts in turn, "
        f"on {machine['processor']} ({machine['cores']} cores), "
        + ", ".join(f"{target} {version}" for target, version in machine["runtimes"].items())
        + ".",
    ]
    return "\n".join(lines) + "\n"


def _decisions(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How sure each artefact is on the test images, by what the validation images taught."""
    wanted = rows[0]["confidence"]
    return [
        "| target | precision | temperature | calibration error, before | after | class % | right % "
        "| concept % | right % | unsure % |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {row['target']} | {row['precision']} | {row['confidence']['temperature']:.3f} "
            f"| {row['calibration_error']:.2f} | {row['calibrated_error']:.2f} | {_sure(row['decisions'])} |"
            for row in rows
        ),
        "",
        f"Sure answers: the class, else a concept, else none. Thresholds by {wanted['images']:,} validation images for "
        f"{wanted['accuracy']:g} % right answers at a level of {wanted['confidence_level']:g} %; this table is of the "
        "test images.",
        "",
    ]


def _sure(decisions: Mapping[str, Any]) -> str:
    class_right, concept_right = (
        "-" if decisions[name] is None else f"{decisions[name]:.2f}" for name in ("class_accuracy", "concept_accuracy")
    )
    return (
        f"{decisions['class_coverage']:.2f} | {class_right} | {decisions['concept_coverage']:.2f} | {concept_right} "
        f"| {decisions['unsure']:.2f}"
    )


def _cross_agreement(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each precision: on how many test images two targets give the same answer."""
    told = {
        precision: ", ".join(
            f"{' and '.join(pair['targets'])} {pair['agreement']:.2f} %"
            for pair in pairs
            if pair["precision"] == precision
        )
        for precision in dict.fromkeys(pair["precision"] for pair in pairs)
    }
    return [f"Same {precision} answer: {text}." for precision, text in told.items()]


def _row(row: Mapping[str, Any]) -> str:
    concepts = "-" if row["concept_top1"] is None else f"{row['concept_top1']:.2f}"
    shipped = f"yes: {row['reason']}" if row["shipped"] else f"no: {row['reason']}"
    return (
        f"| {row['target']} | {row['precision']} | {row['top1']:.2f} | {concepts} | {row['agreement']:.2f} "
        f"| {_ms(row['p50_ms'])} | {_ms(row['p90_ms'])} | {_ms(row['p99_ms'])} | {_ms(row['batch_p50_ms'])} "
        f"| {row['size_bytes'] / 1000:.0f} | {shipped} |"
    )


def _ms(latency: float | None) -> str:
    return "-" if latency is None else f"{latency:.3f}"
