"""Stage `teach`: train the teachers that the recipe names, or take those that are trained already."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hkd_edge.data.augment import generator_for
from hkd_edge.distill.teacher import ConceptTeacherTask, TaskTeacherTask
from hkd_edge.models.build import build
from hkd_edge.models.network import Ensemble, Network, count_parameters
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.recipe.schema import Teacher, Training
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage, digest
from hkd_edge.stages.foreign import (
    images_of,
    judged_at_once,
    load_foreign,
    make_foreign,
    own_teacher,
    take_checkpoint,
    teacher_file,
)
from hkd_edge.teachers.files import teacher_files
from hkd_edge.teachers.network import AdaptedTeacher, ForeignTeacher
from hkd_edge.teachers.saved import SavedTeacher, outputs_of, read_teacher, save_teacher, together
from hkd_edge.train.loop import Fit, Task, fit
from hkd_edge.train.optimizer import epoch_costs
from hkd_edge_runtime.files import write_json_atomically

_INIT_STREAM = {"concept": 11, "task": 12, "student": 13}
_MEMBER_STREAM = 17
_TITLES = {
    "concept": "concept teacher",
    "task": "task teacher",
    "student": "student",
    "fine_tuned": "student rounded as in int8",
}
TRAINING_CODE = ("data", "models", "train", "distill", "evaluate/metrics")


def build_network(
    context: Context, role: str, architecture: Architecture, outputs: int, member: int | None = None
) -> Network:
    """A freshly initialised network on the training device; the same for the same seed, role and number of a member."""
    channels = context.resident.train.images.shape[-1]
    state = generator_for(_member_seed(context, member), _INIT_STREAM[role]).initial_seed()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(state)
        network = build(context.recipe.located(architecture), channels, outputs)
    return network.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def load_teacher(
    context: Context, role: str, settings: Teacher
) -> Network | Ensemble | AdaptedTeacher | ForeignTeacher:
    """The teacher of `role`, as this stage has written it, behind this run's images."""
    if settings.foreign is not None:
        return load_foreign(context, role, settings)
    return own_teacher(context, role, read_teacher(teacher_file(context, role)))


def named_teachers(context: Context) -> dict[str, Teacher]:
    """The recipe's teachers by role, their paths from the current folder."""
    both = {"concept": context.recipe.teacher, "task": context.recipe.task_teacher}
    return {role: context.recipe.located_teacher(each) for role, each in both.items() if each is not None}


def train(
    context: Context, stage: str, role: str, task: Task, settings: Training, key: str, member: int | None = None
) -> list[dict[str, Any]]:
    """Trains `task`: the network of `role`, or one `member` (0, 1, ...) of several. Its epochs as JSON.

    It goes on from its checkpoint, if there is one.
    """
    name, title = _training_name(role, member), _TITLES[role]
    if member is not None:
        title += f", member {member + 1}"
    job = Fit(
        settings,
        len(context.resident.train),
        _member_seed(context, member),
        context.device,
        context.run / "checkpoints" / f"{name}.pt",
        digest([key, name]),
        context.team,
    )
    images = job.steps_per_epoch * job.batch_size
    progress = context.reporter.training(stage, name, title, images, epoch_costs(settings))
    history = fit(task, job, progress)
    return [vars(epoch) for epoch in history]


def _inputs(context: Context) -> Mapping[str, Any]:
    recipe = context.recipe
    return {
        "seed": recipe.seed,
        "precision": context.precision,
        "augment": recipe.augment.model_dump(),
        "teachers": {role: _described(settings) for role, settings in named_teachers(context).items()},
        "files": teacher_files(recipe),
    }


def _run(context: Context, key: str) -> list[Path]:
    folder = context.run / "teacher"
    folder.mkdir(exist_ok=True)
    teachers = named_teachers(context)
    metrics: dict[str, dict[str, Any]] = {}
    for role, settings in teachers.items():
        metrics |= _made(context, role, settings, key)
    if not teachers:
        context.reporter.note("teach", "the recipe names no teacher")
    write_json_atomically(folder / "metrics.json", metrics)
    return [*(teacher_file(context, role) for role in teachers), folder / "metrics.json"]


def _help(context: Context, key: str) -> None:
    for role, settings in named_teachers(context).items():
        if settings.training is not None:
            _taught(context, role, settings, key)


def _made(context: Context, role: str, settings: Teacher, key: str) -> dict[str, Any]:
    """Writes the teacher's file; its metrics by role, and those of each member of an ensemble by the member's name."""
    if settings.foreign is not None:
        return {role: make_foreign(context, role, settings)}
    if settings.checkpoint is not None:
        return {role: take_checkpoint(context, role, settings)}
    teacher, metrics = _taught(context, role, settings, key)
    images, weights = images_of(context), teacher.state_dict()
    saved = SavedTeacher(
        role, context.hierarchy(), images, settings.architecture, None, weights, members=settings.members
    )
    save_teacher(teacher_file(context, role), saved)
    return metrics


def _taught(
    context: Context, role: str, settings: Teacher, key: str
) -> tuple[Network | Ensemble, dict[str, dict[str, Any]]]:
    """The trained teacher of `role`, and what `_made` returns."""
    if settings.architecture is None or settings.training is None:
        raise ValueError("teacher: expected architecture and training, which the recipe's rules ask for, got none.")
    members: list[Network] = []
    metrics: dict[str, dict[str, Any]] = {}
    outputs = outputs_of(context.hierarchy(), role)
    for member in range(settings.members) if settings.members > 1 else (None,):
        network = build_network(context, role, settings.architecture, outputs, member)
        parameters = count_parameters(network)
        context.reporter.note("teach", f"{role} teacher: {parameters:,} parameters, {_where(context)}")
        task = _task(context, role, network, settings.training)
        epochs = train(context, "teach", role, task, settings.training, key, member)
        metrics[_training_name(role, member)] = {"parameters": parameters, "epochs": epochs}
        members.append(network)
    teacher = together(members)
    if len(members) > 1:  # its seconds are those of its members, those of a broken-off training too
        started = time.perf_counter() - sum(epoch["seconds"] for each in metrics.values() for epoch in each["epochs"])
        how, parameters = f"{len(members)} members together", count_parameters(teacher)
        metrics = {role: judged_at_once(context, role, how, teacher, parameters, None, started), **metrics}
    return teacher, metrics


def _training_name(role: str, member: int | None) -> str:
    return role if member is None else f"{role}-{member + 1}"


def _member_seed(context: Context, member: int | None) -> int:
    """What first weights and the order of images are drawn by: for the first member, or the only one, the recipe's."""
    seed = context.recipe.seed
    return seed if not member else generator_for(seed, _MEMBER_STREAM, member).initial_seed()


def _task(context: Context, role: str, network: Network, training: Training) -> Task:
    how = (training, context.precision, context.team)
    if role == "concept":
        return ConceptTeacherTask(network, context.resident, context.hierarchy(), *how)
    return TaskTeacherTask(network, context.resident, *how)


def _described(settings: Teacher) -> dict[str, Any]:
    """The settings without folders: files are known by their contents."""
    return settings.with_paths(lambda path: Path(path).name).model_dump(mode="json")


def _where(context: Context) -> str:
    threads = f" ({torch.get_num_threads()} threads)" if context.device.type == "cpu" else ""
    processes = f" in {context.team.size} processes" if context.team.size > 1 else ""
    return f"{context.precision} on {context.device}{threads}{processes}"


TEACH_CODE = (*TRAINING_CODE, "teachers", "stages/foreign", "stages/teach")
TEACH = Stage("teach", _inputs, ("data", "concepts"), TEACH_CODE, _run, _help)
