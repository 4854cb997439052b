"""Stage `report`: what people look at, from the files of the run alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage
from hkd_edge_runtime.files import sha256_file

BOARDS = "boards"


def _inputs(context: Context) -> Mapping[str, Any]:
    return {"boards": {file.name: sha256_file(file) for file in sorted((context.run / BOARDS).glob("*.json"))}}


def _run(context: Context, key: str) -> list[Path]:
    from hkd_edge.report.write import write_report  # imports what draws, which only this stage needs

    return write_report(context.run)


REPORT = Stage(
    "report",
    _inputs,
    ("data", "concepts", "teach", "distill", "export", "validate", "bundle"),
    ("report", "evaluate", "stages/report"),
    _run,
)
