"""Small trainings, alone or as one process of a team: `python team_member.py FILE.pt` in each process of a team.

The first process writes what came of them to FILE.pt.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hkd_edge.concepts.load import load_hierarchy
from hkd_edge.data.dataset import Split
from hkd_edge.data.digits import load
from hkd_edge.data.resident import ResidentData
from hkd_edge.distill.cache import TeacherAnswers, teacher_answers
from hkd_edge.distill.student import DistillTask, Teachers
from hkd_edge.distill.teacher import ConceptTeacherTask, TaskTeacherTask
from hkd_edge.models.build import build
from hkd_edge.models.network import Network
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.recipe.schema import Augment, Distill, Training, Weights
from hkd_edge.train.loop import EpochResult, Fit, Task, fit
from hkd_edge.train.team import ALONE, Team, join_team

CPU = torch.device("cpu")
HIERARCHY = Path(__file__).resolve().parents[2] / "recipes" / "digits.concepts.yaml"
SETTINGS = Training(epochs=2, batch_size=50, learning_rate=0.05, ema_decay=0.9)  # 50 images are no multiple of 3
WEIGHTS = Weights(ce=1.0, concept=1.0, embedding=1.0, relational=1.0, concept_labels=0.5, kd=1.0)
IMAGES = 400
VIEWS = 2


class Silent:
    """Progress that nobody reads."""

    def step(self, done: int, total: int) -> None:
        """Nothing."""

    def epoch(self, result: EpochResult, epochs: int) -> None:
        """Nothing."""


class DoubleTask:
    """Which of two textures is it? In float64, so that an error in the mathematics cannot hide behind rounding."""

    def __init__(self, team: Team) -> None:
        generator = torch.Generator().manual_seed(0)
        self._team = team
        self._labels = torch.randint(0, 2, (120,), generator=generator)
        self._images = torch.randn(120, 3, 6, 6, generator=generator, dtype=torch.float64)
        self._images += self._labels[:, None, None, None]
        torch.manual_seed(team.rank)  # a team trains the first process's weights
        self.module: nn.Module = nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3),
            nn.BatchNorm2d(4, momentum=None, affine=False),
            nn.Flatten(),
            nn.BatchNorm1d(16),
            nn.Linear(16, 2),
        ).double()

    def loss(self, epoch: int, indices: Tensor) -> Tensor:
        own = self.module(self._images[self._team.part(indices)])
        logits = self._team.whole(own, len(indices))
        labels = self._labels[indices]
        relations = torch.cdist(logits, logits).mean()  # between images of different processes
        return nn.functional.cross_entropy(logits, labels, torch.tensor([1.0, 3.0]).double()) + 0.1 * relations

    def accuracies(self, epoch: int, module: nn.Module) -> dict[str, float]:
        answers = self._team.answers(module, self._images).argmax(1)
        return {"top1": 100 * (answers == self._labels).double().mean().item()}


def train_all(team: Team, folder: Path) -> dict[str, Any]:
    """Weights, buffers, history and answers of all trainings, by name; the processes share `folder`."""
    dataset = load(None, download=False)
    order = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(0)).numpy()
    labelled = torch.arange(0, IMAGES, 3).numpy()
    split = Split(order[:IMAGES], order[IMAGES : IMAGES + 99], labelled)
    data = ResidentData(dataset, split, Augment(shift_px=1), 0, CPU, balance="weights")
    hierarchy = load_hierarchy(HIERARCHY, dataset.classes)
    concept, task = network(hierarchy.membership().shape[1]), network(10)
    student = network(10)
    results = {
        "double": _trained(DoubleTask(team), 120, team),
        "concept": _trained(ConceptTeacherTask(concept, data, hierarchy, SETTINGS, "fp32", team), IMAGES, team),
        "task": _trained(TaskTeacherTask(task, data, SETTINGS, "fp32", team), IMAGES, team),
    }
    teachers = Teachers(
        _answers(network(hierarchy.membership().shape[1]), data, folder / "concept", team),
        _answers(network(10), data, folder / "task", team),
    )
    settings = Distill(training=SETTINGS, weights=WEIGHTS, views=VIEWS)
    torch.manual_seed(0)
    distilled = DistillTask(student, data, hierarchy, settings, teachers, "fp32", team)
    results["student"] = _trained(distilled, IMAGES, team)
    everything = torch.arange(IMAGES)
    results["answers"] = {"logits": teachers.concept.logits(1, everything)} if teachers.concept else {}
    return results


def network(outputs: int) -> Network:
    """The same small network in every process."""
    torch.manual_seed(outputs)
    return build(Architecture(stem_width=4, widths=(8,), blocks=(1,)), 1, outputs)


def _answers(teacher: Network, data: ResidentData, folder: Path, team: Team) -> TeacherAnswers:
    return teacher_answers(teacher, data, VIEWS, folder, "fp32", lambda done, views: None, team=team)


def _trained(task: Task, images: int, team: Team) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        job = Fit(SETTINGS, images, 0, CPU, Path(folder) / "checkpoint.pt", "key", team)
        history = fit(task, job, Silent())
        assert job.checkpoint.exists() == team.first
    told = [{"loss": epoch.loss, **epoch.accuracies} for epoch in history]
    return {"state": dict(task.module.state_dict()), "history": told}


def main(path: Path) -> None:
    """Trains all with the other processes; the first one writes."""
    with join_team() as team:
        assert team is not ALONE
        results = train_all(team, path.parent / "answers")
        team.leave()
        if team.first:
            torch.save(results, path)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
