"""Stage `teach`: train the teachers that the recipe names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hkd_edge.data.augment import generator_for
from hkd_edge.distill.teacher import ConceptTeacherTask, TaskTeacherTask
from hkd_edge.models.build import build
from hkd_edge.models.network import Network, count_parameters
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.recipe.schema import Teacher
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage, digest
from hkd_edge.train.checkpoint import load_weights, save_weights
from hkd_edge.train.loop import Fit, Task, fit
from hkd_edge_runtime.files import write_json_atomically

_INIT_STREAM = {"concept": 11, "task": 12, "student": 13}
_TITLES = {
    "concept": "concept teacher",
    "task": "task teacher",
    "student": "student",
    "fine_tuned": "student rounded as in int8",
}
TRAINING_CODE = ("data", "models", "train", "distill", "evaluate/metrics")


def build_network(context: Context, role: str, architecture: Architecture, outputs: int) -> Network:
    """A freshly initialised network on the training device; the same for the same seed and role."""
    channels = context.resident.train.images.shape[-1]
    state = generator_for(context.recipe.seed, _INIT_STREAM[role]).initial_seed()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(state)
        network = build(context.recipe.located(architecture), channels, outputs)
    return network.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def teacher_outputs(context: Context, role: str) -> int:
    """How many logits the teacher of `role` (concept or task) has."""
    hierarchy = context.hierarchy()
    return hierarchy.membership().shape[1] if role == "concept" else len(hierarchy.classes)


def load_teacher(context: Context, role: str, settings: Teacher) -> Network:
    """The trained teacher of `role`, as this stage has written it."""
    network = build_network(context, role, settings.architecture, teacher_outputs(context, role))
    load_weights(context.run / "teacher" / f"{role}.pt", network)
    return network


def named_teachers(context: Context) -> dict[str, Teacher]:
    """The recipe's teachers by role."""
    both = {"concept": context.recipe.teacher, "task": context.recipe.task_teacher}
    return {role: settings for role, settings in both.items() if settings is not None}


def train(context: Context, stage: str, role: str, task: Task, settings: Any, key: str) -> list[dict[str, Any]]:
    """Trains `task` from its checkpoint or from the start; the epochs as JSON."""
    job = Fit(
        settings,
        len(context.resident.train),
        context.recipe.seed,
        context.device,
        context.run / "checkpoints" / f"{role}.pt",
        digest([key, role]),
        context.team,
    )
    images = job.steps_per_epoch * job.batch_size
    history = fit(task, job, context.reporter.training(stage, role, _TITLES[role], images))
    return [vars(epoch) for epoch in history]


def _inputs(context: Context) -> Mapping[str, Any]:
    recipe = context.recipe
    return {
        "seed": recipe.seed,
        "precision": context.precision,
        "augment": recipe.augment.model_dump(),
        "teachers": {role: settings.model_dump() for role, settings in named_teachers(context).items()},
    }


def _run(context: Context, key: str) -> list[Path]:
    folder = context.run / "teacher"
    folder.mkdir(exist_ok=True)
    metrics, files = {}, []
    for role, settings in named_teachers(context).items():
        network, epochs = _taught(context, role, settings, key)
        save_weights(folder / f"{role}.pt", network)
        files.append(folder / f"{role}.pt")
        metrics[role] = {"parameters": count_parameters(network), "epochs": epochs}
    if not metrics:
        context.reporter.note("teach", "the recipe names no teacher")
    write_json_atomically(folder / "metrics.json", metrics)
    return [*files, folder / "metrics.json"]


def _help(context: Context, key: str) -> None:
    for role, settings in named_teachers(context).items():
        _taught(context, role, settings, key)


def _taught(context: Context, role: str, settings: Teacher, key: str) -> tuple[Network, list[dict[str, Any]]]:
    """The trained teacher of `role`, and its epochs as JSON."""
    network = build_network(context, role, settings.architecture, teacher_outputs(context, role))
    context.reporter.note("teach", f"{role} teacher: {count_parameters(network):,} parameters, {_where(context)}")
    return network, train(context, "teach", role, _task(context, role, network, settings), settings.training, key)


def _task(context: Context, role: str, network: Network, settings: Teacher) -> Task:
    how = (settings.training, context.precision, context.team)
    if role == "concept":
        return ConceptTeacherTask(network, context.resident, context.hierarchy(), *how)
    return TaskTeacherTask(network, context.resident, *how)


def _where(context: Context) -> str:
    threads = f" ({torch.get_num_threads()} threads)" if context.device.type == "cpu" else ""
    processes = f" in {context.team.size} processes" if context.team.size > 1 else ""
    return f"{context.precision} on {context.device}{threads}{processes}"


TEACH = Stage("teach", _inputs, ("data", "concepts"), (*TRAINING_CODE, "stages/teach"), _run, _help)
