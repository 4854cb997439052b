"""Stage `distill`: train the student from labels and from its teachers' cached answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hkd_edge.distill.cache import TeacherAnswers, teacher_answers
from hkd_edge.distill.saved import read_student, save_student
from hkd_edge.distill.student import DistillTask, Teachers
from hkd_edge.models.network import Network, count_parameters
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage, code_digest, digest
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
        "teachers": {role: settings.architecture.model_dump() for role, settings in named_teachers(context).items()},
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
    how = (recipe.distill, teachers_of(context), context.precision, context.team)
    task = DistillTask(student, context.resident, hierarchy, *how)
    return student, train(context, "distill", "student", task, recipe.distill.training, key)


def teachers_of(context: Context) -> Teachers:
    """The answers of the recipe's teachers, from the run's cache or made now."""
    return Teachers(_answers(context, "concept"), _answers(context, "task"))


def _answers(context: Context, role: str) -> TeacherAnswers | None:
    """The answers of the teacher of `role` if a loss with weight needs them."""
    weights = context.recipe.distill.weights
    needed = {"concept": weights.concept + weights.embedding + weights.relational, "task": weights.kd}
    settings = named_teachers(context).get(role)
    if settings is None or needed[role] == 0:
        return None
    cache = context.run / "cache"
    folder = cache / f"{role}-{_answers_key(context, role)[:16]}"
    if context.team.first:
        for stale in cache.glob(f"{role}-*"):
            if stale != folder:
                shutil.rmtree(stale)
    return teacher_answers(
        load_teacher(context, role, settings),
        context.resident,
        context.recipe.distill.views,
        folder,
        context.precision,
        lambda done, total: context.reporter.work(f"{role} teacher answers views", done, total),
        context.team,
    )


def _answers_key(context: Context, role: str) -> str:
    return digest(
        {
            "teacher": sha256_file(context.run / "teacher" / f"{role}.pt"),
            "split": sha256_file(context.run / "data" / "split.npz"),
            "fingerprint": context.dataset.fingerprint,
            "augment": context.recipe.augment.model_dump(),
            "seed": context.recipe.seed,
            "precision": context.precision,
            "code": [code_digest(room) for room in ("data", "models", "distill/cache")],
        }
    )


DISTILL = Stage(
    "distill",
    _inputs,
    ("data", "concepts", "teach"),
    (*TRAINING_CODE, "stages/teach", "stages/distill"),
    _run,
    _help,
)
