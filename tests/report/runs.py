"""Run directories as a pipeline leaves them, composed of a drawn validation, for tests of reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hkd_edge.evaluate.result import Gate, Validation, write_validation
from hkd_edge_runtime.hierarchy import Axis, Hierarchy
from tests.validations import drawn_validation

NASTY = ("<b>\"shirt\" & 'co'</b>", "coat $5 $6", "sandal", "b|oot")
SECTIONS_OF_A_BARE_VALIDATION = [
    *("Summary", "Hierarchy", "Speed and size", "Confusion matrix", "Classes and concepts", "Agreement"),
    *("Worst mistakes", "Calibration", "Sure answers", "Gates", "Provenance"),
]


def write_bare(
    folder: Path, validation: Validation | None = None, arrays: dict[str, NDArray[Any]] | None = None
) -> Path:
    """A folder with a validation alone, as that of a bundle."""
    drawn, drawn_arrays = drawn_validation()
    folder.mkdir(exist_ok=True)
    write_validation(folder, validation or drawn, arrays or drawn_arrays)
    return folder


PRIVATE = "/a/place/of/this/machine"


def write_run(folder: Path, validation: Validation | None = None) -> Path:
    """A folder with all that a report reads."""
    write_bare(folder, validation)
    recipe = {"name": "drawn", "data": {"dataset": "<none> & all", "root": PRIVATE}, "tracking": {"mlflow": PRIVATE}}
    _write(folder / "recipe.yaml", recipe)
    for index, stage in enumerate(("data", "concepts", "teach", "distill", "export", "validate", "bundle")):
        _write(folder / f"stages/{stage}.json", {"key": "k", "outputs": {}, "seconds": 1.5 + 60 * index})
    epochs = [_epoch(0.9, {"group": 90.0, "sleeves": 80.0}), _epoch(0.5, {"group": 95.0, "sleeves": 85.0})]
    _write(folder / "teacher/metrics.json", {"concept": {"parameters": 1234, "epochs": epochs}})
    _write(
        folder / "student/metrics.json",
        {"parameters": 12345, "epochs": [_epoch(1.0, {"top1": 70.0 + n}) for n in range(30)]},
    )
    images = {"train": 700, "validation": 100, "test": 200}
    _write(folder / "data/data.json", {"name": "drawn", "source": "a draw", "fingerprint": "ef" * 32, "images": images})
    measures = {"prior_entropy_bits": 2.0, "entropy_bits": 0.5, "groups": [["sandal", "boot"]]}
    _write(folder / "concepts/measures.json", measures)
    trial = {
        "rung": "ptq",
        "candidate": "minmax",
        "top1": 93.0,
        "drop": 0.2,
        "chosen": True,
        "reason": "lost 0.20 points",
    }
    _write(folder / "artefacts/export.json", {"int8": {"onnxruntime": {"trials": [trial]}}})
    _write(
        folder / "bundle/manifest.json", {"created_by": "hkd-edge 9.9", "provenance": {"versions": {"torch": "2.99"}}}
    )
    _write(folder / "boards/pi@board.json", BOARD)
    return folder


def nasty() -> Validation:
    """A validation whose classes have names that HTML, Markdown and mathematical text would take for their own."""
    validation, _ = drawn_validation()
    hierarchy = Hierarchy(
        NASTY, (Axis("<group>", ("<tops>", "footwear & co"), (0, 0, 1, 1)), validation.hierarchy.axes[1])
    )
    return replace(validation, name="<i>drawn</i>", hierarchy=hierarchy)


def failed() -> Validation:
    """A validation that ships nothing: one gate failed."""
    validation, _ = drawn_validation()
    gate = Gate("max_top1_drop", "openvino int8", "failed", "<= 0.5 points", "7.3 points", "100 validation images")
    rows = tuple(replace(row, shipped=False, reason="inaccurate") for row in validation.rows)
    return replace(validation, verdict="failed", gates=(*validation.gates, gate), rows=rows)


def _epoch(loss: float, accuracies: Mapping[str, float]) -> dict[str, Any]:
    return {"epoch": 0, "loss": loss, "accuracies": accuracies, "seconds": 1.0}


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


BOARD = {
    "sha256": "9a" * 32,
    "settings": {"threads": 1},
    "board": {"facts": {"model": "A drawn board", "cpu": "4 x core"}},
    "rows": [
        {
            "target": "onnxruntime",
            "precision": "int8",
            "runtime": "1.32.0",
            "latency": {"p50_ms": 4.25, "p90_ms": 4.5, "p99_ms": 5.0, "images_per_s": 230.0},
            "cold_start": {"load_ms": 300.0, "first_answer_ms": 6.0, "rss_bytes": None},
            "accuracy": None,
        }
    ],
    "skipped": [{"target": "tensorrt", "precision": "int8", "reason": "tensorrt is not installed"}],
    "warnings": ["load: the machine was busy"],
}
