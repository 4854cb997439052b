"""`report.html`, `report.md` and `report.json` of a run, from the files of its directory alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hkd_edge.report.findings import Findings, compute_findings
from hkd_edge.report.material import Material, read_material
from hkd_edge.report.page import render_page
from hkd_edge.report.sections import accuracy, making, provenance, speed, trust, verdict
from hkd_edge.report.summary import markdown_summary
from hkd_edge.report.wording import listed
from hkd_edge_runtime import __version__
from hkd_edge_runtime.files import write_bytes_atomically, write_json_atomically
from hkd_edge_runtime.strict import encode

HTML_FILE, MARKDOWN_FILE, JSON_FILE = "report.html", "report.md", "report.json"
FORMAT, FORMAT_VERSION = "hkd-edge-report", 1
_SECTIONS = (
    verdict.summary_section,
    making.pipeline_section,
    making.learning_section,
    making.hierarchy_section,
    making.quantization_section,
    speed.speed_section,
    accuracy.confusion_section,
    accuracy.classes_section,
    accuracy.agreement_section,
    accuracy.mistakes_section,
    trust.calibration_section,
    trust.selective_section,
    verdict.gates_section,
    speed.boards_section,
    provenance.provenance_section,
)


def write_report(run: Path) -> list[Path]:
    """Writes the three files into `run`; their paths. Parts whose files are not there are left out.

    Raises:
        RunDirectoryError: if there is no validation, or a file that the report is made of is damaged.
    """
    material = read_material(run)
    findings = compute_findings(material)
    pages = {
        HTML_FILE: report_html(material, findings),
        MARKDOWN_FILE: markdown_summary(material.validation),
    }
    for name, text in pages.items():
        write_bytes_atomically(run / name, text.encode("utf-8"))
    write_json_atomically(run / JSON_FILE, report_json(material, findings))
    return [run / name for name in (HTML_FILE, MARKDOWN_FILE, JSON_FILE)]


def report_html(material: Material, findings: Findings) -> str:
    """The whole page."""
    validation = material.validation
    made = [section for build in _SECTIONS if (section := build(material, findings)) is not None]
    targets = listed(list(dict.fromkeys(row.target for row in validation.rows)))
    subtitle = f"Validation of a {validation.subject} on {validation.images}, for {targets}. hkd-edge {__version__}"
    return render_page(validation.name, subtitle, made)


def report_json(material: Material, findings: Findings) -> dict[str, Any]:
    """What the page shows, as plain JSON values; `validation` is as in validation.json."""
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "created_by": f"hkd-edge {__version__}"}
    rest = {
        "recipe": material.recipe,
        "stage_seconds": material.stage_seconds,
        "trainings": material.trainings,
        "data": material.data,
        "concepts": material.concepts,
        "trials": material.trials,
        "boards": material.boards,
        "bundle": material.bundle,
    }
    found = {name: encode(value) for name, value in rest.items() if value}
    return {**head, "validation": encode(material.validation), "findings": encode(findings), **found}
