"""Stage `validate`: every artefact on its own runtime, against the torch student and against fp32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hkd_edge.errors import GateError
from hkd_edge.evaluate.accuracy import outputs_from_logits
from hkd_edge.evaluate.artefacts import Artefact
from hkd_edge.evaluate.machine import this_machine
from hkd_edge.evaluate.metrics import predict_logits
from hkd_edge.evaluate.result import Gate, write_validation
from hkd_edge.evaluate.subject import ReferenceAnswers, Subject
from hkd_edge.evaluate.validate import failure, validate
from hkd_edge.models.network import count_parameters
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage
from hkd_edge.stages.distill import load_student
from hkd_edge.stages.export import artefacts
from hkd_edge.stages.teach import load_teacher, named_teachers


def subject_of(context: Context, files: Sequence[Artefact], findings: tuple[Gate, ...] = ()) -> Subject:
    """The run's artefacts `files`, its torch student as their reference, its test and validation images."""
    data, hierarchy, student = context.resident, context.hierarchy(), load_student(context)
    validation = context.dataset.train.take(context.split().validation)
    test, choice = (
        outputs_from_logits(predict_logits(student, images, data.normalize).cpu().numpy(), hierarchy)
        for images in (data.test.images, data.validation.images)
    )
    return Subject(
        name=context.recipe.name,
        kind="run",
        root=context.run,
        artefacts=files,
        hierarchy=hierarchy,
        test=context.dataset.test,
        images=f"all {len(context.dataset.test):,} test images of {context.dataset.name}",
        choice=validation,
        reference=ReferenceAnswers("torch student", test, choice),
        teachers=_teachers(context),
        findings=findings,
        parameters=count_parameters(student),
    )


def _teachers(context: Context) -> dict[str, NDArray[np.float32]]:
    """What the teachers say of the test images: concept probabilities (N, K), or logits (N, C)."""
    data, answers = context.resident, {}
    for role, settings in named_teachers(context).items():
        logits = predict_logits(load_teacher(context, role, settings), data.test.images, data.normalize)
        if role == "concept":
            slices = context.hierarchy().slices()
            logits = torch.cat([logits[:, columns].softmax(dim=1) for columns in slices], dim=1)
        answers[f"{role}_teacher"] = logits.cpu().numpy()
    return answers


def _inputs(context: Context) -> Mapping[str, Any]:
    recipe = context.recipe
    machine = this_machine(recipe.export.targets, recipe.validation.threads)
    return {"validate": recipe.validation.model_dump(), "machine": asdict(machine)}


def _run(context: Context, key: str) -> list[Path]:
    subject = subject_of(context, artefacts(context))
    validation, arrays = validate(subject, context.recipe.validation, context.reporter.work)
    files = write_validation(context.run, validation, arrays)
    if validation.verdict == "failed":
        raise GateError(failure(validation))
    return files


VALIDATE = Stage(
    "validate",
    _inputs,
    ("data", "concepts", "teach", "distill", "export"),
    ("evaluate", "hkd_edge_runtime", "stages/validate"),
    _run,
)
