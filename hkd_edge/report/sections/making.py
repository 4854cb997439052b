"""How the run came about: its stages, its trainings, its concepts, its way to INT8."""

from __future__ import annotations

from markupsafe import Markup

from hkd_edge.report.findings import Findings, counted
from hkd_edge.report.material import Material
from hkd_edge.report.page import Section, columns, figure, paragraph, table
from hkd_edge.report.plots.concepts import hierarchy_plot
from hkd_edge.report.plots.training import curves_plot, stages_plot
from hkd_edge.report.wording import duration, listed, percent


def pipeline_section(material: Material, findings: Findings) -> Section | None:
    """The stages with their times; None without stamps of stages."""
    if not material.stage_seconds:
        return None
    total = duration(sum(material.stage_seconds.values()))
    drawing = figure(stages_plot(material.stage_seconds), f"Seconds of each stage when it last ran; {total} together.")
    facts = table(
        "Stages", ["stage", "time"], [[name, duration(each)] for name, each in material.stage_seconds.items()]
    )
    return Section("Pipeline", columns([drawing, facts]))


def learning_section(material: Material, findings: Findings) -> Section | None:
    """Curves of the teachers and the student; None without their metrics."""
    trainings = [training for training in material.trainings if training.losses]
    if not trainings:
        return None
    drawings = [
        figure(
            curves_plot(f"curves-{index}", training),
            f"{training.title.capitalize()}: {training.parameters:,} parameters, {len(training.losses)} epochs "
            f"in {duration(training.seconds)}. Accuracy is of the validation images.",
        )
        for index, training in enumerate(trainings)
    ]
    return Section("Learning curves", columns(drawings))


def hierarchy_section(material: Material, findings: Findings) -> Section:
    """Axes, concepts and classes, and how much of the class the concepts tell."""
    hierarchy = material.validation.hierarchy
    caption = (
        "Each row is a class; the blocks are the concepts that it has on each axis, a dash where the axis is silent."
    )
    text = Markup("")
    if material.concepts is not None:
        found = material.concepts
        told = (
            f"Concepts leave {found.entropy_bits:.2f} of the {found.prior_entropy_bits:.2f} bits that name the class: "
            "a teacher of concepts knows that much less than one of classes."
        )
        groups = "; ".join(listed(group) for group in found.groups)
        text = paragraph(
            told, f" Not told apart: {groups}." if groups else " Every class is told apart by its concepts."
        )
    return Section("Hierarchy", text + figure(hierarchy_plot(hierarchy), caption))


def quantization_section(material: Material, findings: Findings) -> Section | None:
    """What was tried to get INT8; None where nothing was."""
    if not material.trials:
        return None
    rows = [
        [
            trial.target,
            f"{trial.rung}: {trial.candidate}",
            percent(trial.top1),
            percent(trial.drop),
            "taken" if trial.chosen else "no",
            trial.reason,
        ]
        for trial in material.trials
    ]
    headers = ["target", "way", "top-1 %", "drop", "taken", "why"]
    note = (
        "Of the validation images; the drop, in points, is against the target's own fp32 file. Cheap ways come first."
    )
    return Section("Way to INT8", table("What was tried", headers, rows, note))


def data_sentence(material: Material) -> str:
    """Where the images are from."""
    data = material.data
    return "" if data is None else f"{data.name}: {counted(data.images)} images, from {data.source}"
