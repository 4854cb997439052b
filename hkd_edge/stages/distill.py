"""Stage `distill`: train the student from labels and from its teachers' cached answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hkd_edge.distill.cache import TeacherAnswers, teacher_answers
from hkd_edge.distill.student import DistillTask, Teachers
from hkd_edge.models.network import Network, count_parameters
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage, code_digest, digest
from hkd_edge.stages.teach import TRAINING_CODE, build_network, load_teacher, named_teachers, train
from hkd_edge.train.checkpoint import load_weights, save_weights
from hkd_edge_runtime.files import sha256_file, write_json_atomically

WEIGHTS_FILE = "student/student.pt"
METRICS_FILE = "student/metrics.json"


def load_student(context: Context) -> Network:
    """The trained student on the training device, as this stage has written it."""
    network = _build(context)
    load_weights(context.run / WEIGHTS_FILE, network)
    return network


def _build(context: Context) -> Network:
    classes = len(context.hierarchy().classes)
    return build_network(context, "student", context.recipe.student.architecture, classes)


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
    student, data = _build(context), context.resident
    (context.run / "student").mkdir(exist_ok=True)
    context.reporter.note("distill", f"student: {count_parameters(student):,} parameters")
    teachers = Teachers(_answers(context, "concept"), _answers(context, "task"))
    task = DistillTask(student, data, context.hierarchy(), context.recipe.distill, teachers, context.precision)
    epochs = train(context, "distill", "student", task, context.recipe.distill.training, key)
    save_weights(context.run / WEIGHTS_FILE, student)
    metrics = {"parameters": count_parameters(student), "epochs": epochs}
    write_json_atomically(context.run / METRICS_FILE, metrics)
    return [context.run / WEIGHTS_FILE, context.run / METRICS_FILE]


def _answers(context: Context, role: str) -> TeacherAnswers | None:
    """The answers of the teacher of `role` if a loss with weight needs them."""
    weights = context.recipe.distill.weights
    needed = {"concept": weights.concept + weights.embedding + weights.relational, "task": weights.kd}
    settings = named_teachers(context).get(role)
    if settings is None or needed[role] == 0:
        return None
    cache = context.run / "cache"
    folder = cache / f"{role}-{_answers_key(context, role)[:16]}"
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
)
