"""The work of a study: the teachers that cells share, and one cell from its recipe to its result.

STUDY/concept_teachers/NAME  a run of the pipeline up to `teach`, of the concept teacher alone: it sees no class label,
                        so that all label budgets and unmet classes of a seed have the same one
STUDY/teachers/NAME     a run up to `teach` with that teacher, for all cells with the same teachers, seed and labels
STUDY/work/NAME         a cell's run up to `distill`, begun as a copy of that run and removed when it is measured
STUDY/trials/NAME.json  the top-1 of a trial of a search, on validation images alone
STUDY/cells/NAME.json   what came of it, and STUDY/students/NAME.pt its student
"""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from hkd_edge.errors import TrainingError
from hkd_edge.pipeline import run_pipeline
from hkd_edge.recipe import Recipe
from hkd_edge.recipe.rules import LOSSES_OF_TEACHER
from hkd_edge.recipe.schema import Teacher
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge.run.stage import code_digest, digest
from hkd_edge.stages.concepts import CONCEPTS
from hkd_edge.stages.data import DATA
from hkd_edge.stages.distill import DISTILL, METRICS_FILE, STUDENT_FILE
from hkd_edge.stages.teach import TEACH
from hkd_edge.study.cells import CellResult, PlannedCell, TeacherFacts, TrialResult
from hkd_edge.study.measure import measure_student
from hkd_edge.teachers.files import teacher_files
from hkd_edge_runtime.board import read_board
from hkd_edge_runtime.files import copy_atomically, sha256_file, write_json_atomically

_TEACHERS_PARTS = {"seed", "device", "precision", "data", "concepts", "augment", "teacher", "task_teacher"}
_CELL_PARTS = {*_TEACHERS_PARTS, "student", "distill"}
_TEACHERS_CODE = sorted({room for stage in (DATA, CONCEPTS, TEACH) for room in stage.code})
_CELL_CODE = sorted({*_TEACHERS_CODE, *DISTILL.code, "evaluate", "study/measure", "study/corruptions"})
# What a cell does not take over from the run of its teachers.
_NOT_COPIED = ("checkpoints", "cache", ".lock", "metrics.jsonl", "tensorboard", "mlflow.json")


@dataclass(frozen=True)
class Job:
    """A cell to do in the study's folder, with the key that its result must have."""

    folder: Path
    planned: PlannedCell
    key: str
    teachers: str
    concept_teacher: str | None
    trial: bool = False

    @property
    def result_file(self) -> Path:
        """Where the result goes."""
        return self.folder / ("trials" if self.trial else "cells") / f"{self.planned.cell.file_stem}.json"

    @property
    def concept_teacher_run(self) -> Path:
        """The run of the concept teacher, if there is one that is trained here."""
        return self.folder / "concept_teachers" / str(self.concept_teacher)

    @property
    def teachers_run(self) -> Path:
        """The run of the teachers."""
        return self.folder / "teachers" / self.teachers


def job_of(folder: Path, planned: PlannedCell, *, trial: bool = False) -> Job:
    """The job of a cell, or of a trial of a search.

    Its key is of all that decides the result: parts of the recipe, the hierarchy, the source.
    """
    cell, recipe = planned.cell, planned.recipe
    teachers = _key(recipe, _TEACHERS_PARTS, _TEACHERS_CODE)
    name = f"seed{cell.seed}.labels{cell.label_fraction:g}.{teachers[:12]}"
    concept = None
    if recipe.teacher is not None and recipe.teacher.training is not None:
        concept = f"seed{cell.seed}.{_key(_of_concept_teacher(recipe), _TEACHERS_PARTS, _TEACHERS_CODE)[:12]}"
    return Job(folder, planned, _key(recipe, _CELL_PARTS, _CELL_CODE), name, concept, trial)


def train_concept_teacher(job: Job) -> None:
    """Trains the concept teacher of `job` and of all cells with the same, or finds it done."""
    if job.concept_teacher is not None:
        _pipeline(_of_concept_teacher(job.planned.recipe), job.concept_teacher_run, TEACH.name)


def train_teachers(job: Job) -> None:
    """Trains the other teachers of `job` and of all cells with the same, or finds them done."""
    _pipeline(_with_trained_teacher(job), job.teachers_run, TEACH.name)


def run_cell(job: Job) -> CellResult:
    """Trains and measures the student of a cell whose teachers are trained; goes on with it if it was broken off."""
    cell, recipe, run = job.planned.cell, job.planned.recipe, _trained(job)
    context = Context(recipe, run, _silent())
    validation, test = measure_student(context, cell.unmet)
    metrics, taught = context.read_json(METRICS_FILE), context.read_json("teacher/metrics.json")
    if job.concept_teacher is not None:
        taught |= json.loads((job.concept_teacher_run / "teacher" / "metrics.json").read_bytes())
    result = CellResult(
        cell=cell,
        key=job.key,
        parameters=metrics["parameters"],
        validation=validation,
        test=test,
        curve=tuple(epoch["accuracies"]["top1"] for epoch in metrics["epochs"]),
        seconds=_seconds(metrics),
        teachers=_teachers(recipe, taught),
        machine=_machine(context),
    )
    students = job.folder / "students"
    students.mkdir(exist_ok=True)
    copy_atomically(run / STUDENT_FILE, students / f"{cell.file_stem}.pt")
    job.result_file.parent.mkdir(exist_ok=True)
    write_json_atomically(job.result_file, result.to_json())
    shutil.rmtree(run)
    return result


def run_trial(job: Job) -> TrialResult:
    """Trains the student of a trial and looks at its last epoch; nothing is asked of test images.

    Values with which no training is possible are a result too.
    """
    cell = job.planned.cell
    try:
        metrics = Context(job.planned.recipe, _trained(job), _silent()).read_json(METRICS_FILE)
        result = TrialResult(cell, job.key, metrics["epochs"][-1]["accuracies"]["top1"], _seconds(metrics))
    except TrainingError:
        result = TrialResult(cell, job.key, None, 0.0)
    job.result_file.parent.mkdir(exist_ok=True)
    write_json_atomically(job.result_file, result.to_json())
    shutil.rmtree(_run_of(job))
    return result


def _run_of(job: Job) -> Path:
    return job.folder / "work" / job.planned.cell.file_stem


def _trained(job: Job) -> Path:
    """The run in which the student of `job` is trained; goes on with it if it was broken off."""
    run = _run_of(job)
    if not run.exists():
        _begin(run, job.teachers_run)
    _pipeline(_with_trained_teacher(job), run, DISTILL.name)
    return run


def _of_concept_teacher(recipe: Recipe) -> Recipe:
    """`recipe` with the concept teacher alone, and without what hides class labels."""
    data = {"label_fraction": 1.0, "label_seed": 0, "unlabelled_classes": ()}
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=data), "task_teacher": None})


def _with_trained_teacher(job: Job) -> Recipe:
    """The job's recipe with the file of the trained concept teacher."""
    recipe = job.planned.recipe
    if job.concept_teacher is None:
        return recipe
    trained = Teacher(checkpoint=str((job.concept_teacher_run / "teacher" / "concept.pt").absolute()))
    return recipe.model_copy(update={"teacher": trained})


def _key(recipe: Recipe, parts: set[str], code: list[str]) -> str:
    hierarchy = recipe.hierarchy_path
    content = recipe.model_dump(mode="json", include=parts)
    if hierarchy is not None and hierarchy.is_file():
        content["concepts"] = sha256_file(hierarchy)
    content["files"] = teacher_files(recipe)
    return digest({"recipe": content, "code": {room: code_digest(room) for room in code}})


def _begin(run: Path, teachers: Path) -> None:
    """Makes a cell's run of what its teachers' run holds, whole or not at all; both use one cache of answers."""
    begun = run.with_name(f".{run.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    begun.parent.mkdir(exist_ok=True)
    shutil.copytree(teachers, begun, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    cache = teachers / "cache"
    cache.mkdir(exist_ok=True)
    (begun / "cache").symlink_to(cache.absolute(), target_is_directory=True)
    begun.rename(run)


def _pipeline(recipe: Recipe, run: Path, until: str) -> None:
    run.parent.mkdir(parents=True, exist_ok=True)
    with _silent() as reporter:
        run_pipeline(recipe, run, reporter, until=until, resume=True)


def _silent() -> Reporter:
    return Reporter(Console(quiet=True))


def _seconds(metrics: dict[str, Any]) -> float:
    return round(sum(float(epoch["seconds"]) for epoch in metrics["epochs"]), 3)


def _teachers(recipe: Recipe, metrics: dict[str, Any]) -> dict[str, TeacherFacts]:
    """The teachers that the recipe's losses use."""
    weights = recipe.distill.weights.model_dump()
    used = [
        role for role, losses in LOSSES_OF_TEACHER.items() if role in metrics and any(weights[loss] for loss in losses)
    ]
    return {
        role: TeacherFacts(metrics[role]["parameters"], _seconds(metrics[role]), _last_accuracies(metrics[role]))
        for role in used
    }


def _last_accuracies(metrics: dict[str, Any]) -> dict[str, float]:
    """Those of the last epoch; none of a teacher that only embeds."""
    return dict(metrics["epochs"][-1]["accuracies"]) if metrics["epochs"] else {}


def _machine(context: Context) -> dict[str, Any]:
    board, device = read_board(), context.device
    return {
        **board.facts,
        "cores": board.usable_cores,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": context.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
