"""Stage `distill`: train the student from labels and from its teachers' cached answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hkd_edge.distill.cache import TeacherAnswers, discard_others, teacher_answers
from hkd_edge.distill.saved import read_student, save_student
from hkd_edge.distill.student import DistillTask, Teachers
from hkd_edge.distill.subclasses import Subclasses, cached_subclasses
from hkd_edge.distill.teacher import AxisTables
from hkd_edge.models.network import Network, count_parameters
from hkd_edge.recipe.rules import LOSSES_OF_TEACHER
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage, code_digest, digest
from hkd_edge.stages.foreign import foreign_answers, foreign_body, saved_head
from hkd_edge.stages.teach import TRAINING_CODE, build_network, load_teacher, named_teachers, train
from hkd_edge_export.spec import ExportSpec
from hkd_edge_runtime.files import sha256_file, write_json_atomically

STUDENT_FILE = "student/student.pt"
METRICS_FILE = "student/metrics.json"


def load_student(context: Context) -> Network:
    """The trained student on the training device, as this stage has written it."""
    network = read_student(context.run / STUDENT_FILE).network
    return network.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def export_spec(context: Context) -> ExportSpec:
    """What a deployed classifier of this run needs beside its weights."""
    facts = context.read_json("data/data.json")
    height, width, channels = facts["image_shape"]
    return ExportSpec(height, width, channels, tuple(facts["mean"]), tuple(facts["std"]), context.hierarchy())


def _inputs(context: Context) -> Mapping[str, Any]:
    recipe = context.recipe
    return {
        "seed": recipe.seed,
        "precision": context.precision,
        "augment": recipe.augment.model_dump(),
        "student": recipe.student.model_dump(),
        "distill": recipe.distill.model_dump(),
        "teachers": sorted(named_teachers(context)),
    }


def _run(context: Context, key: str) -> list[Path]:
    (context.run / "student").mkdir(exist_ok=True)
    student, epochs = _distilled(context, key)
    save_student(context.run / STUDENT_FILE, student, context.recipe.student.architecture, export_spec(context))
    metrics = {"parameters": count_parameters(student), "epochs": epochs}
    write_json_atomically(context.run / METRICS_FILE, metrics)
    return [context.run / STUDENT_FILE, context.run / METRICS_FILE]


def _help(context: Context, key: str) -> None:
    _distilled(context, key)


def _distilled(context: Context, key: str) -> tuple[Network, list[dict[str, Any]]]:
    """The trained student, and its epochs as JSON."""
    recipe, hierarchy = context.recipe, context.hierarchy()
    student = build_network(context, "student", recipe.student.architecture, len(hierarchy.classes))
    context.reporter.note("distill", f"student: {count_parameters(student):,} parameters")
    data, weights = context.resident, recipe.distill.weights
    if data.labelled is not None and not any(weights.model_dump(exclude={"ce"}).values()):
        context.reporter.note("distill", "images without a fine label are not seen: no loss but ce has a weight")
    how = (recipe.distill, teachers_of(context), context.precision, context.team)
    task = DistillTask(student, data, hierarchy, *how, seed=recipe.seed)
    return student, train(context, "distill", "student", task, recipe.distill.training, key)


def teachers_of(context: Context) -> Teachers:
    """The answers of the recipe's teachers, from the run's cache or made now."""
    concept = _answers(context, "concept")
    return Teachers(concept, _answers(context, "task"), _subclasses(context, concept))


def _subclasses(context: Context, concept: TeacherAnswers | None) -> Subclasses | None:
    """The pseudo-subclasses in the answers to the first view, kept beside these, if a loss with weight needs them."""
    settings = context.recipe.distill
    if concept is None or settings.weights.subclass == 0:
        return None
    data, hierarchy = context.resident, context.hierarchy()
    everything = torch.arange(len(data.train), device=data.device)
    return cached_subclasses(
        concept.embeddings(0, everything),
        AxisTables.of(hierarchy, data.device, data.unlabelled).class_to_concepts[data.train.labels],
        [len(axis.concepts) for axis in hierarchy.axes],
        settings.subclass.per_concept,
        context.recipe.seed,
        _answers_folder(context, "concept"),
    )


def _answers(context: Context, role: str) -> TeacherAnswers | None:
    """The answers of the teacher of `role` if a loss with weight needs them."""
    weights = context.recipe.distill.weights.model_dump()
    settings = named_teachers(context).get(role)
    if settings is None or not any(weights[loss] for loss in LOSSES_OF_TEACHER[role]):
        return None
    if settings.foreign is not None:
        body = foreign_body(context, role, settings)
        answers = foreign_answers(context, role, settings, body, context.recipe.distill.views, context.team)
        head = saved_head(context, role)
        return answers if head is None else answers.with_head(head)
    folder = _answers_folder(context, role)
    if context.team.first:
        discard_others(folder, role)
    return teacher_answers(
        load_teacher(context, role, settings),
        context.resident,
        context.recipe.distill.views,
        folder,
        context.precision,
        lambda done, total: context.reporter.work(f"{role} teacher answers views", done, total),
        team=context.team,
    )


def _answers_folder(context: Context, role: str) -> Path:
    return context.run / "cache" / f"{role}-{_answers_key(context, role)[:16]}"


def _answers_key(context: Context, role: str) -> str:
    return digest(
        {
            "teacher": sha256_file(context.run / "teacher" / f"{role}.pt"),
            "split": sha256_file(context.run / "data" / "split.npz"),
            "fingerprint": context.dataset.fingerprint,
            "augment": context.recipe.augment.model_dump(),
            "seed": context.recipe.seed,
            "precision": context.precision,
            "code": [code_digest(room) for room in ("data", "models", "teachers", "distill/cache")],
        }
    )


DISTILL = Stage(
    "distill",
    _inputs,
    ("data", "concepts", "teach"),
    (*TRAINING_CODE, "teachers", "stages/foreign", "stages/teach", "stages/distill"),
    _run,
    _help,
)
