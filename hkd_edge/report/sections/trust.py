"""How far answers can be believed: calibration, and answers given only when sure."""

from __future__ import annotations

from markupsafe import Markup

from hkd_edge.evaluate.result import Row
from hkd_edge.report.findings import Findings
from hkd_edge.report.material import Material
from hkd_edge.report.page import NOTHING, Section, columns, figure, paragraph, table
from hkd_edge.report.plots.trust import decided_plot, reliability_plot
from hkd_edge.report.wording import percent


def calibration_section(material: Material, findings: Findings) -> Section:
    """Reliability before and after the temperature."""
    drawings = [
        figure(
            reliability_plot(f"reliability-{index}", found),
            f"{found.artefact} on the test images: on the dashed line scores are shares of right answers. "
            "Area: number of images.",
        )
        for index, found in enumerate(findings.calibrations)
    ]
    rows = [
        [
            row.title,
            NOTHING if row.confidence is None else f"{row.confidence.temperature:.3f}",
            percent(row.test.calibration_error),
            percent(row.calibrated_error),
        ]
        for row in material.validation.rows
    ]
    headers = ["artefact", "temperature", "error before", "error after"]
    note = "Expected calibration error in points, 15 bins, on the test images; validation images chose the temperature."
    return Section("Calibration", columns(drawings) + table("Calibration error", headers, rows, note))


def selective_section(material: Material, findings: Findings) -> Section | None:
    """What `label_or_concept` answers; None where no thresholds were made."""
    rows = material.validation.rows
    decided = [(row.title, row.decided) for row in rows if row.decided is not None]
    if not decided:
        return None
    cells = [
        [
            title,
            percent(each.class_coverage),
            percent(each.class_accuracy),
            percent(each.concept_coverage),
            percent(each.concept_accuracy),
            percent(each.unsure),
        ]
        for title, each in decided
    ]
    headers = ["artefact", "class %", "of it right %", "concept %", "of it right %", "unsure %"]
    drawing = figure(decided_plot(decided), "Test images answered by their class, by a concept only, or not at all.")
    parts = [_promise(rows), drawing, table("Sure answers", headers, cells)]
    return Section("Sure answers", Markup("").join(parts))


def _promise(rows: tuple[Row, ...]) -> Markup:
    wanted = next((row.confidence for row in rows if row.confidence is not None), None)
    if wanted is None:
        return Markup("")
    return paragraph(
        f"The class if it is sure, else a concept, else nothing. Thresholds: by {wanted.images:,} validation images, "
        f"for {wanted.accuracy:g} % right answers at a confidence level of {wanted.confidence_level:g} %."
    )
