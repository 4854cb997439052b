"""Networks that are hard to quantize: a student trained on digits, and rescalings that only INT8 minds."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from hkd_edge.data import digits
from hkd_edge.data.dataset import stratified_split
from hkd_edge.data.resident import ResidentData
from hkd_edge.distill.cache import TeacherAnswers
from hkd_edge.distill.equalize import channel_sets
from hkd_edge.distill.student import DistillTask, Teachers
from hkd_edge.models.build import build
from hkd_edge.models.network import Network
from hkd_edge.recipe.schema import Architecture, Augment, Distill, Training, Weights
from hkd_edge.train.loop import Fit, fit
from hkd_edge_export.spec import ExportSpec
from hkd_edge_runtime.hierarchy import Hierarchy

CPU = torch.device("cpu")
HIERARCHY = Hierarchy.from_dict({"classes": list(digits.CLASSES), "axes": {}})
RESIDUAL = Architecture(kind="residual", stem_width=8, widths=(16, 32), blocks=(1, 0))
PLAIN = Architecture(kind="plain", stem_width=8, widths=(16, 32), blocks=(1, 0))


def rescale_channels(model: Network, exponent: int, seed: int) -> Network:
    """A copy whose channels are up to 2^exponent times as large or as small, drawn by `seed`; its logits are the same.

    Each channel that one layer writes and one layer reads is multiplied by a power of two, which rounds nothing, and
    its reader undoes that; channels that shortcuts tie together are left alone. The exponents are whole numbers from
    -exponent to exponent, each as likely as the other.
    """
    rescaled = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for channels in channel_sets(rescaled):
            if len(channels.writers) == len(channels.readers) == 1:
                size = channels.writers[0].convolution.out_channels
                exponents = torch.randint(-exponent, exponent + 1, (size,), generator=generator)
                channels.rescale(torch.exp2(exponents.float()))
    return rescaled


def resident_digits() -> ResidentData:
    """943 training, 404 validation and 450 test images of 8 x 8."""
    dataset = digits.load(None, download=False)
    return ResidentData(dataset, stratified_split(dataset.train.labels, 0.3, 0), Augment(), 0, CPU)


def spec_of(data: ResidentData) -> ExportSpec:
    """What the exported file of a network trained on `data` promises."""
    return ExportSpec(8, 8, 1, data.normalize.mean, data.normalize.std, HIERARCHY)


def trained_student(data: ResidentData, architecture: Architecture, checkpoint: Path) -> Network:
    """A student that has learnt `data` from its labels."""
    torch.manual_seed(0)
    student = build(architecture, 1, len(HIERARCHY.classes))
    fine_tune(student, data, checkpoint, epochs=8, learning_rate=0.1)
    return student


def fine_tune(
    student: Network,
    data: ResidentData,
    checkpoint: Path,
    *,
    epochs: int,
    learning_rate: float,
    teacher: Network | None = None,
) -> float:
    """Trains `student` in place, by the labels or by what `teacher` says alone; top-1 on validation images, percent."""
    settings = Distill(
        training=Training(epochs=epochs, batch_size=64, learning_rate=learning_rate),
        weights=Weights(ce=1.0) if teacher is None else Weights(ce=0.0, kd=1.0),
        views=1,
    )
    answers = None if teacher is None else answers_of(teacher, data)
    task = DistillTask(student, data, HIERARCHY, settings, Teachers(None, answers), "fp32")
    job = Fit(settings.training, len(data.train), 0, CPU, checkpoint, f"{epochs} {learning_rate}")
    return fit(task, job, Silent())[-1].accuracies["top1"]


@torch.no_grad()
def answers_of(teacher: Network, data: ResidentData) -> TeacherAnswers:
    """What a teacher answers to the one view of the training images."""
    embeddings = teacher.eval().embed(data.view_batch(0, torch.arange(len(data.train))))
    return TeacherAnswers(teacher.head(embeddings)[None], embeddings[None])


class Silent:
    """Progress that nobody reads."""

    def step(self, done: int, total: int) -> None: ...

    def epoch(self, result: object, epochs: int) -> None: ...
