"""Stage `validate`: every artefact on its own runtime, against the torch student and against fp32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hkd_edge.data.dataset import ImageSet
from hkd_edge.data.resident import on_device
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
from hkd_edge_runtime.decision import temper


def subject_of(
    context: Context,
    files: Sequence[Artefact],
    test: ImageSet | None = None,
    images: str = "",
    findings: tuple[Gate, ...] = (),
) -> Subject:
    """The run's artefacts `files` with its torch student as their reference, and its validation images.

    They are judged on `test`, which `images` describes; on the run's own test images if there is none.
    """
    hierarchy, student, dataset = context.hierarchy(), load_student(context), context.dataset
    if test is None:
        test, images = dataset.test, f"all {len(dataset.test):,} test images of {dataset.name}"
    choice = dataset.train.take(context.split().validation)
    answers = [outputs_from_logits(_logits(context, student, each), hierarchy) for each in (test, choice)]
    return Subject(
        name=context.recipe.name,
        kind="run",
        root=context.run,
        artefacts=files,
        hierarchy=hierarchy,
        test=test,
        images=images,
        choice=choice,
        reference=ReferenceAnswers("torch student", *answers),
        teachers=_teachers(context, test),
        findings=findings,
        parameters=count_parameters(student),
    )


def _logits(context: Context, network: nn.Module, images: ImageSet) -> NDArray[np.float32]:
    """Logits (N, outputs) in fp32, by torch on the training device."""
    pixels = on_device(images.images, context.device)
    return predict_logits(network, pixels, context.resident.normalize).cpu().numpy()


def _teachers(context: Context, test: ImageSet) -> dict[str, NDArray[np.float32]]:
    """What the teachers say of the test images: concept probabilities (N, K), or logits (N, C)."""
    answers = {}
    for role, settings in named_teachers(context).items():
        teacher = load_teacher(context, role, settings)
        logits = _logits(context, teacher, test)
        if logits.shape[1] == 0:  # a foreign network that only embeds
            continue
        if role == "concept":
            axes = [temper(logits[:, columns], 1.0) for columns in context.hierarchy().slices()]
            for axis in getattr(teacher, "silent_axes", ()):
                axes[axis][:] = 0
            logits = np.concatenate(axes, axis=1).astype(np.float32)
        answers[f"{role}_teacher"] = logits
    return answers


def _inputs(context: Context) -> Mapping[str, Any]:
    recipe = context.recipe
    machine = this_machine(recipe.export.targets, recipe.validation.threads)
    return {"validate": recipe.validation.model_dump(), "machine": asdict(machine)}


def _run(context: Context, key: str) -> list[Path]:
    subject = subject_of(context, artefacts(context))
    validation, arrays = validate(subject, context.recipe.validation, context.reporter.work)
    files = write_validation(context.run, validation, arrays)
    context.reporter.validated(validation)
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
