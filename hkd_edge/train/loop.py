"""The training loop that teachers and students share: epochs, schedule, checkpoints, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hkd_edge.data.augment import generator_for
from hkd_edge.errors import TrainingError
from hkd_edge.recipe.schema import Training
from hkd_edge.train.batch_norm import norm_over
from hkd_edge.train.checkpoint import load_checkpoint, save_checkpoint
from hkd_edge.train.memory import keep_freed_memory
from hkd_edge.train.optimizer import learning_rate_factor, make_optimizer
from hkd_edge.train.team import ALONE, Team

_ORDER_STREAM = 1  # keeps the order of the images apart from what else is drawn from the same seed
_EMA_EVERY_STEPS = 4  # an average of every 4th step is as good, at a quarter of the cost


@dataclass(frozen=True)
class EpochResult:
    """What one epoch ended with: mean training loss, validation accuracies in percent by name, seconds it took."""

    epoch: int
    loss: float
    accuracies: dict[str, float]
    seconds: float


class Task(Protocol):
    """What is trained. `module` holds every trainable number."""

    module: nn.Module

    def loss(self, epoch: int, indices: Tensor) -> Tensor:
        """The scalar loss of the training images at `indices` (B,) in `epoch` (0, 1, ...).

        A process of a team is given the whole batch, and its loss is that of the whole batch.
        """

    def accuracies(self, epoch: int, module: nn.Module) -> dict[str, float]:
        """Accuracies in percent of `module` (of the kind of `self.module`) on the validation images, by name.

        They are taken at the image size that `epoch` trained at.
        """


@dataclass(frozen=True)
class Fit:
    """One training: settings, number of training images, seed, and the checkpoint that belongs to `key` alone.

    The processes of `team` train together.
    """

    settings: Training
    image_count: int
    seed: int
    device: torch.device
    checkpoint: Path
    key: str
    team: Team = ALONE

    @property
    def batch_size(self) -> int:
        """Images a step: the settings' size, or all images if there are fewer."""
        return min(self.settings.batch_size, self.image_count)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches an epoch; images left over wait for the next epoch's order."""
        return self.image_count // self.batch_size


class Progress(Protocol):
    """Who is told how a training goes."""

    def step(self, done: int, total: int) -> None:
        """`done` of `total` steps of the whole training are taken."""

    def epoch(self, result: EpochResult, epochs: int) -> None:
        """An epoch of `epochs` has ended (or was read from a checkpoint)."""


def fit(task: Task, job: Fit, progress: Progress) -> list[EpochResult]:
    """Trains `task.module` in place and returns the epochs; its weights end as their average if settings ask for it.

    Goes on from `job.checkpoint` if that is there for the same `job.key`. The result is the same as without the
    break: the order of the images and their views depend on (seed, epoch) alone.

    A checkpoint of one process is gone on with by several, and the other way round.

    Raises:
        TrainingError: if the loss is not finite, or a batch has fewer images than there are processes.
        ProcessLostError: if another process of the team has ended.
    """
    keep_freed_memory()
    _begin_together(task.module, job)
    run = Run(task, job)
    run.restore()
    for result in run.history:
        progress.epoch(result, job.settings.epochs)
    for epoch in range(len(run.history), job.settings.epochs):
        started = time.perf_counter()
        loss = run.train_epoch(epoch, progress)
        accuracies = task.accuracies(epoch, run.best_module().eval())
        run.history.append(EpochResult(epoch, loss, accuracies, time.perf_counter() - started))
        run.save()
        progress.epoch(run.history[-1], job.settings.epochs)
    task.module.load_state_dict(run.best_module().state_dict())
    task.module.eval()
    return run.history


class Run:
    """The state of a training that a checkpoint must hold: weights, optimiser, average, history."""

    def __init__(self, task: Task, job: Fit) -> None:
        self.task = task
        self.job = job
        self.history: list[EpochResult] = []
        self.optimizer = make_optimizer(task.module, job.settings)
        self.average = _average(task.module, job.settings.ema_decay)

    def best_module(self) -> nn.Module:
        """The averaged weights if there is an average, else the trained ones."""
        module: nn.Module = self.task.module if self.average is None else self.average.module
        return module

    def train_epoch(self, epoch: int, progress: Progress) -> float:
        """The mean loss of one epoch."""
        job = self.job
        total = torch.zeros((), device=job.device)
        for loss in self.steps(epoch, progress):
            total += loss
        mean = total.item() / job.steps_per_epoch
        if not math.isfinite(mean) and job.team.first:
            raise TrainingError(
                f"expected a finite training loss, got {mean} in epoch {epoch + 1}. "
                "Lower the learning rate (recipe key training.learning_rate) or raise warmup_fraction."
            )
        return mean

    def steps(self, epoch: int, progress: Progress) -> Iterator[Tensor]:
        """Takes the steps of one epoch, each when its detached loss () is asked for."""
        job, total_steps = self.job, self.job.steps_per_epoch * self.job.settings.epochs
        order = torch.randperm(job.image_count, generator=generator_for(job.seed, _ORDER_STREAM, epoch))
        order = order.to(job.device)
        self.task.module.train()
        for step in range(job.steps_per_epoch):
            done = epoch * job.steps_per_epoch + step
            factor = learning_rate_factor(done, total_steps, job.settings.warmup_fraction)
            for group in self.optimizer.param_groups:
                group["lr"] = job.settings.learning_rate * factor
            loss = self.task.loss(epoch, order[step * job.batch_size : (step + 1) * job.batch_size])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            job.team.average_gradients(self.task.module)
            self.optimizer.step()
            if self.average is not None and done % _EMA_EVERY_STEPS == 0:
                self.average.update_parameters(self.task.module)
            progress.step(done + 1, total_steps)
            yield loss.detach()

    def save(self) -> None:
        """Writes the checkpoint; a kill at any moment leaves the old one or the new one."""
        if not self.job.team.first:
            return
        save_checkpoint(
            self.job.checkpoint,
            {
                "key": self.job.key,
                "history": [vars(result) for result in self.history],
                "module": self.task.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
            },
        )

    def restore(self) -> None:
        """Takes up the checkpoint of the same key, if there is one."""
        job = self.job
        state = job.team.from_first(lambda: load_checkpoint(job.checkpoint, job.key, torch.device("cpu")))
        if state is None:
            return
        self.task.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.history = [EpochResult(**result) for result in state["history"]]


def _begin_together(module: nn.Module, job: Fit) -> None:
    """Gives all processes of a team the first one's weights, and batch norms over whole batches."""
    if job.team.size == 1:
        return
    if job.batch_size < job.team.size:
        raise TrainingError(
            f"expected at least one image of a batch for each of {job.team.size} processes, got batches of "
            f"{job.batch_size}. Raise training.batch_size, or start fewer processes."
        )
    norm_over(job.team, module)
    module.load_state_dict(job.team.from_first(lambda: _on_cpu(module)))


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in module.state_dict().items()}


def _average(module: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of the weights and buffers of `module`; None if `decay` is 0."""
    if decay == 0:
        return None
    update = get_ema_multi_avg_fn(decay**_EMA_EVERY_STEPS)  # type: ignore[no-untyped-call]
    return AveragedModel(module, multi_avg_fn=update, use_buffers=True)
