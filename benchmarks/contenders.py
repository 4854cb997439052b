"""The training loops that benchmarks/training.py lets take turns, each alone in a process.

    python benchmarks/contenders.py JOB CONTENDER

JOB is `teacher` (a concept teacher of 309 k parameters learns its concepts) or `student` (60 k parameters, from labels
and that teacher's answers). Each line `WARM_UP STEPS` on stdin is answered by the seconds that STEPS steps took after
WARM_UP untimed ones. Nets, losses, batch, augmentation and optimiser are the same for all; the loops are their own.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, Subset

from hkd_edge.concepts.load import load_hierarchy
from hkd_edge.data.augment import View
from hkd_edge.data.dataset import Split, pixel_statistics
from hkd_edge.data.load import load_dataset
from hkd_edge.data.resident import ResidentData
from hkd_edge.distill.cache import TeacherAnswers
from hkd_edge.distill.losses import concept_label_loss, concept_loss
from hkd_edge.distill.student import DistillTask, Teachers
from hkd_edge.distill.teacher import AxisTables, ConceptTeacherTask
from hkd_edge.models.build import build
from hkd_edge.models.network import Network
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.recipe.schema import Augment, Distill, Training, Weights
from hkd_edge.report.progress import Reporter
from hkd_edge.train.loop import Fit, Run
from hkd_edge.train.memory import keep_freed_memory

TEACHER = Architecture(stem_width=16, widths=(24, 56, 96), blocks=(2, 1, 1))  # 309,015 parameters with 7 concepts
STUDENT = Architecture(stem_width=16, widths=(32, 48), blocks=(0, 1))  # 60,922 parameters with 10 classes
HIERARCHY = Path(__file__).resolve().parents[1] / "recipes" / "fashion_mnist.concepts.yaml"
SHIFT_PX = 2
WEIGHTS = Weights(ce=1.0, concept=0.5)
TEMPERATURE = 4.0
# A rate at which random labels of a few steps cannot blow up: speed does not depend on it.
SETTINGS = Training(epochs=1000, batch_size=128, learning_rate=0.01, warmup_fraction=0)
SGD = {
    "lr": SETTINGS.learning_rate,
    "momentum": SETTINGS.momentum,
    "weight_decay": SETTINGS.weight_decay,
    "nesterov": True,
}
CACHED_BATCHES = 50  # torchdistill's cache is one file an image: a part of the data set is enough for its speed


class Setting:
    """The data, the hierarchy, and the nets in their first state."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.data = load_dataset("fashion_mnist", None, download=True)
        self.hierarchy = load_hierarchy(HIERARCHY, self.data.classes)
        self.tables = AxisTables.of(self.hierarchy, torch.device("cpu"))
        torch.manual_seed(0)
        self.teacher = build(TEACHER, 1, self.hierarchy.membership().shape[1])
        self.student = build(STUDENT, 1, len(self.data.classes))
        self.trained: Network = self.teacher if job == "teacher" else self.student


def ours(setting: Setting, *, change: str = "") -> Iterator[object]:
    """The steps of `hkd_edge.train.loop`, told to a reporter as in a run; the teacher's answers are cached.

    With a `change`, one of `CHANGES`, as they were or could have been.
    """
    run = our_run(setting, change)
    progress = Reporter(Console(quiet=True)).training("", "", "", run.job.image_count)
    return itertools.chain.from_iterable(run.steps(epoch, progress) for epoch in range(SETTINGS.epochs))


def our_run(setting: Setting, change: str = "") -> Run:
    """The training that `ours` takes the steps of."""
    if change != "memory goes back to the system":
        keep_freed_memory()
    if change == "one thread":
        torch.set_num_threads(1)
    precision = "bf16" if change == "bf16" else "fp32"
    data, count = setting.data, len(setting.data.train)
    everything = Split(np.arange(count), np.arange(1))
    resident = ResidentData(data, everything, Augment(flip=True, shift_px=SHIFT_PX), 0, torch.device("cpu"))
    layout = torch.contiguous_format if change == "contiguous" else torch.channels_last
    trained = setting.trained.to(memory_format=layout)  # type: ignore[call-overload]
    if change == "torch.compile":
        trained.backbone = torch.compile(trained.backbone)
    task: Any
    if setting.job == "teacher":
        task = ConceptTeacherTask(trained, resident, setting.hierarchy, SETTINGS, precision)
    else:
        logits = torch.randn(1, count, setting.teacher.head.out_features)
        teachers = Teachers(TeacherAnswers(logits, torch.zeros(1, count, 1, dtype=torch.half)), None)
        settings = Distill(training=SETTINGS, temperature=TEMPERATURE, weights=WEIGHTS, views=1, fresh_views=True)
        task = DistillTask(trained, resident, setting.hierarchy, settings, teachers, precision)
    if change == "without augmentation":
        resident._views = {epoch: View(None, None, None) for epoch in range(SETTINGS.epochs)}
    run = Run(task, Fit(SETTINGS, count, 0, torch.device("cpu"), Path(), ""))
    if change == "fused SGD":
        for group in run.optimizer.param_groups:
            group.update(fused=True, foreach=False)
    if change == "average of the weights":
        run = Run(task, dataclasses.replace(run.job, settings=SETTINGS.model_copy(update={"ema_decay": 0.999})))
    return run


def plain(setting: Setting, workers: int) -> Iterator[object]:
    """A PyTorch loop: torchvision's data set and transforms, DataLoader, the teacher's forward in each step."""
    loader = DataLoader(image_files(setting), SETTINGS.batch_size, shuffle=True, **loader_settings(workers))
    teacher, trained = copy.deepcopy(setting.teacher).eval(), setting.trained.train()
    optimizer = torch.optim.SGD(trained.parameters(), **SGD)
    while True:
        for images, labels in loader:
            logits = trained(images)
            if setting.job == "teacher":
                loss = label_loss(setting, logits, labels)
            else:
                with torch.no_grad():
                    answers = teacher(images)
                loss = WEIGHTS.ce * F.cross_entropy(logits, labels) + WEIGHTS.concept * from_concepts(
                    setting, logits, answers
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


def torchdistill(setting: Setting, workers: int, *, cached: bool = False) -> Iterator[object]:
    """The loop of torchdistill's own examples/torchvision/image_classification.py around its boxes.

    With `cached` its option `cache_output`, which versions up to 1.1.4 have: answers of the first view that was seen of
    each image, one file an image, on `CACHED_BATCHES` batches of images, which are answered before the clock starts.
    """
    from torchdistill.core.distillation import get_distillation_box
    from torchdistill.core.training import get_training_box
    from torchdistill.misc.log import MetricLogger, SmoothedValue

    images: Dataset[Any] = image_files(setting)
    loader: dict[str, Any] = {
        "dataset_id": "train",
        "sampler": {"class_or_func": RandomSampler},
        "kwargs": {"batch_size": SETTINGS.batch_size, **loader_settings(workers)},
    }
    if cached:
        images = Subset(images, range(CACHED_BATCHES * SETTINGS.batch_size))
        loader["cache_output"] = tempfile.mkdtemp()
    hooks = {"forward_hook": {"input": [], "output": []}, "forward_proc": "forward_batch_only"}
    config: dict[str, Any] = {
        "num_epochs": 1,
        "train_data_loader": loader,
        "optimizer": {"key": "SGD", "kwargs": dict(SGD)},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": sub_terms(setting)}},
    }
    where = torch.device("cpu"), None, False, 1  # device, device_ids, distributed, lr_factor
    box: Any
    if setting.job == "teacher":
        box = get_training_box(setting.teacher, {"train": images}, config | {"model": hooks}, *where)
    else:
        config |= {"teacher": hooks | {"requires_grad": False}, "student": hooks}
        box = get_distillation_box(setting.teacher.eval(), setting.student, {"train": images}, config, *where)
    if cached:
        for sample_batch, targets, supp_dict in box.train_data_loader:
            box.get_teacher_output(sample_batch, targets, supp_dict)
    metric_logger = MetricLogger(delimiter="  ")
    metric_logger.add_meter("lr", SmoothedValue(window_size=1, fmt="{value}"))
    metric_logger.add_meter("img/s", SmoothedValue(window_size=10, fmt="{value}"))
    for epoch in itertools.count():
        box.pre_epoch_process(epoch=epoch)
        for sample_batch, targets, supp_dict in metric_logger.log_every(box.train_data_loader, 1000, ""):
            started = time.time()
            loss = box.forward_process(sample_batch, targets, supp_dict)
            box.post_forward_process(loss=loss)
            metric_logger.update(loss=loss.item(), lr=box.optimizer.param_groups[0]["lr"])
            metric_logger.meters["img/s"].update(len(sample_batch) / (time.time() - started))
            yield loss


def image_files(setting: Setting) -> Dataset[Any]:
    """torchvision's FashionMNIST and transforms; our arrays in the place of what it would read from its files."""
    from torchvision import transforms
    from torchvision.datasets import FashionMNIST

    mean, std = pixel_statistics(setting.data.train.images)
    dataset: Any = FashionMNIST.__new__(FashionMNIST)
    dataset.data = torch.from_numpy(setting.data.train.images[..., 0])
    dataset.targets = torch.from_numpy(setting.data.train.labels)
    dataset.target_transform = None
    dataset.transform = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomCrop(setting.data.train.images.shape[1:3], padding=SHIFT_PX),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    return dataset  # type: ignore[no-any-return]


def loader_settings(workers: int) -> dict[str, Any]:
    """What PyTorch's documentation advises on a CPU."""
    return {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": False, "drop_last": True}


def sub_terms(setting: Setting) -> dict[str, Any]:
    """The losses as torchdistill takes them: modules of the outputs and the labels."""
    if setting.job == "teacher":
        return {"labels": {"criterion": Term(lambda own, _, labels: label_loss(setting, own, labels)), "weight": 1.0}}
    return {
        "ce": {"criterion": Term(lambda own, _, labels: F.cross_entropy(own, labels)), "weight": WEIGHTS.ce},
        "concept": {
            "criterion": Term(lambda own, other, _: from_concepts(setting, own, other)),
            "weight": WEIGHTS.concept,
        },
    }


class Term(nn.Module):
    """A loss of logits, of the teacher's logits, and of labels as a mid-level loss of torchdistill's."""

    def __init__(self, loss: Callable[[Any, Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, student_io: Any, teacher_io: Any, targets: Tensor) -> Tensor:
        """The loss of the outputs of the whole nets."""
        return self.loss(student_io["."]["output"], teacher_io.get(".", {}).get("output"), targets)


def label_loss(setting: Setting, logits: Tensor, labels: Tensor) -> Tensor:
    """The concept teacher's."""
    return concept_label_loss(setting.tables.split(logits), setting.tables.class_to_concepts[labels])


def from_concepts(setting: Setting, logits: Tensor, answers: Tensor) -> Tensor:
    """The student's, of the concept teacher's answers."""
    return concept_loss(logits, setting.tables.split(answers), setting.tables.memberships, TEMPERATURE)


def channels_last(loop: Callable[..., Iterator[object]], workers: int) -> Callable[[Setting], Iterator[object]]:
    """`loop` with its nets in channels-last memory, as PyTorch's tuning guide advises for convolutions on a CPU."""

    def start(setting: Setting) -> Iterator[object]:
        for net in (setting.teacher, setting.student):
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return loop(setting, workers)

    return start


CHANGES = (
    "memory goes back to the system",
    "contiguous",
    "fused SGD",
    "torch.compile",
    "bf16",
    "one thread",
    "without augmentation",
    "average of the weights",
)
CONTENDERS: dict[str, Callable[[Setting], Iterator[object]]] = {
    "hkd-edge": ours,
    "torchdistill, 0 workers": lambda setting: torchdistill(setting, 0),
    "torchdistill, 2 workers": lambda setting: torchdistill(setting, 2),
    "torchdistill, 0 workers, channels_last": channels_last(torchdistill, 0),
    "plain DataLoader, 0 workers": lambda setting: plain(setting, 0),
    "plain DataLoader, 2 workers": lambda setting: plain(setting, 2),
    "torchdistill with its cache, 0 workers": lambda setting: torchdistill(setting, 0, cached=True),
    "torchdistill with its cache, 2 workers": lambda setting: torchdistill(setting, 2, cached=True),
    **{f"hkd-edge, {change}": functools.partial(ours, change=change) for change in CHANGES},
}


def main(job: str, contender: str) -> None:
    """Answers the lines on stdin."""
    answers, sys.stdout = sys.stdout, sys.stderr  # torchdistill prints
    steps = iter(CONTENDERS[contender](Setting(job)))
    next(steps)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        warm_up, count = map(int, line.split())
        for _ in itertools.islice(steps, warm_up):
            pass
        started = time.perf_counter()
        for _ in itertools.islice(steps, count):
            pass
        print(time.perf_counter() - started, file=answers, flush=True)


# A guard that workers need, which import this file again where processes are spawned.
if __name__ == "__main__":
    main(*sys.argv[1:])
