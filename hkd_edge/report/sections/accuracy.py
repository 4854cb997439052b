"""Where the answers are right and wrong: by class, by concept, between runtimes, image by image."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from hkd_edge.evaluate.result import Row, Validation
from hkd_edge.report.findings import Answer, Findings, Mistake
from hkd_edge.report.material import Material
from hkd_edge.report.page import NOTHING, Section, badge, figure, paragraph, table
from hkd_edge.report.plots.concepts import confusion_plot
from hkd_edge.report.wording import listed, percent


def confusion_section(material: Material, findings: Findings) -> Section:
    """Which class is taken for which."""
    found = findings.confusion
    by = f" Lines part the concepts of {material.validation.hierarchy.axes[0].name}." if found.blocks else ""
    caption = (
        f"Rows are labels, columns the answers of {found.subject}, in test images.{by} Blue is right, orange wrong."
    )
    return Section("Confusion matrix", figure(confusion_plot(found), caption))


def classes_section(material: Material, findings: Findings) -> Section:
    """Accuracy of each class and what the artefacts lose of it, then that of the concepts."""
    validation = material.validation
    reference = validation.reference
    shown = _shown(validation)
    rows = [
        [
            name,
            percent(reference.test.classes.get(name)),
            *(
                cell
                for row in shown
                for cell in (percent(row.test.classes.get(name)), _signed(row.test_difference.class_drop.get(name)))
            ),
        ]
        for name in findings.confusion.classes
    ]
    headers = ["class", f"{reference.title} %", *(cell for row in shown for cell in (f"{row.title} %", "drop"))]
    worst = [f"{row.title} loses most on {row.test_difference.worst_class[0]}" for row in shown if _loses(row)]
    parts = [table("Accuracy by class", headers, rows, _note(worst)), _concepts_table(validation)]
    return Section("Classes and concepts", Markup("").join(parts))


def agreement_section(material: Material, findings: Findings) -> Section:
    """Whether all runtimes say the same, and as the reference does."""
    validation = material.validation
    logits = [
        [
            row.title,
            row.runtime,
            percent(row.test_difference.agreement),
            f"{row.test_difference.mean_logit_error:.4f}",
            f"{row.test_difference.max_logit_error:.4f}",
            percent(row.default_precision_agreement),
        ]
        for row in validation.rows
    ]
    headers = ["artefact", "computed by", "same class %", "mean error", "max error", "own precision %"]
    note = (
        "Errors: absolute differences of logits. Own precision: same class where the runtime chooses the precision of "
        "floats itself, as it may on a board."
    )
    first = table(f"Against the {validation.reference.title}", headers, logits, note)
    if not validation.cross_agreement:
        return Section("Agreement", first)
    pairs = [[listed(cross.targets), cross.precision, percent(cross.agreement)] for cross in validation.cross_agreement]
    return Section("Agreement", first + table("Between runtimes", ["runtimes", "precision", "same class %"], pairs))


def mistakes_section(material: Material, findings: Findings) -> Section | None:
    """The surest mistakes as images; None if the reference makes none."""
    if not findings.mistakes:
        return None
    reference = material.validation.reference.title
    images = material.arrays["mistake_images"]
    items = Markup("").join(_mistake(each, images[each.position], reference) for each in findings.mistakes)
    text = paragraph(
        f"Test images that the {reference} gets wrong, the surest first. Some labels may be the mistake. "
        "Shares are scores, those of artefacts after their temperature."
    )
    return Section("Worst mistakes", text + Markup('<ul class="mistakes">{}</ul>').format(items))


def png_uri(image: NDArray[np.uint8]) -> str:
    """A data URI of an image (H, W, 1 or 3)."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _shown(validation: Validation) -> list[Row]:
    return [row for row in validation.rows if row.shipped] or list(validation.rows)


def _loses(row: Row) -> bool:
    return row.test_difference.worst_class[1] > 0


def _note(worst: list[str]) -> str:
    return f"Drop in points; negative where the artefact wins. {'; '.join(worst)}{'.' if worst else ''}".strip()


def _signed(drop: float | None) -> str:
    return NOTHING if drop is None else f"{drop:+.2f}" if drop else "0.00"


def _concepts_table(validation: Validation) -> Markup:
    axes = [axis.name for axis in validation.hierarchy.axes]
    if not axes:
        return Markup("")
    everyone: list[tuple[str, Any]] = [
        (validation.reference.title, validation.reference.test),
        *((row.title, row.test) for row in validation.rows),
    ]
    rows = [
        [title, *(percent(found.concepts.get(axis)) for axis in axes), percent(found.concept_mean)]
        for title, found in everyone
    ]
    headers = ["answers of", *(f"{axis} %" for axis in axes), "mean %"]
    return table("Concept accuracy by axis", headers, rows, "Of the images on whose class the axis speaks.")


def _mistake(found: Mistake, image: NDArray[np.uint8], reference: str) -> Markup:
    said = next(answer for answer in found.answers if answer.who == reference)
    alt = f"Test image {found.image}, labelled {found.label}, which the {reference} takes for {said.name}"
    height, width = image.shape[:2]
    answers = Markup("").join(_answer(answer) for answer in found.answers)
    return Markup(
        '<li><img src="{}" alt="{}" width="{}" height="{}"><div><h3>Label: {}</h3><dl>{}</dl></div></li>'
    ).format(png_uri(image), alt, width, height, found.label, answers)


def _answer(answer: Answer) -> Markup:
    right = badge("right", "good") if answer.right else Markup("")
    return Markup("<dt>{}</dt><dd>{} {:.0f} % {}</dd>").format(answer.who, answer.name, answer.score, right)
