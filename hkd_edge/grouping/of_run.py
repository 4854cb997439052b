"""What a run's own network says of its validation images: the images that choose, never the test images."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from hkd_edge.concepts.distances import class_means
from hkd_edge.concepts.suggest import Evidence
from hkd_edge.data.augment import Normalization
from hkd_edge.data.resident import on_device
from hkd_edge.errors import RunDirectoryError
from hkd_edge.evaluate.metrics import predict_logits, top1
from hkd_edge.recipe import Recipe, load_recipe
from hkd_edge.recipe.rules import LOSSES_OF_TEACHER
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge.run.directory import RECIPE_FILE
from hkd_edge.stages.data import FACTS_FILE
from hkd_edge.stages.distill import STUDENT_FILE, load_student
from hkd_edge.stages.teach import load_teacher, named_teachers

_TASK_TEACHER_FILE = "teacher/task.pt"
_TAUGHT = "this student was taught the concepts that its recipe has, and so tends to confirm them."


def evidence_of_run(run: Path) -> Evidence:
    """Soft confusions and mean embeddings of the task teacher if the run has one, else of the student.

    The task teacher is the better witness: the student has already been taught the present concepts.

    Raises:
        RunDirectoryError: if the run has not come so far, or its images are others now.
        HkdEdgeError: if its recipe, data or network cannot be read.
    """
    recipe = load_recipe(str(run / RECIPE_FILE))
    role = "task teacher" if recipe.task_teacher is not None else "student"
    _check_finished(run, _TASK_TEACHER_FILE if role == "task teacher" else STUDENT_FILE, role)
    with Reporter(Console(stderr=True)) as reporter:
        context = Context(recipe, run, reporter)
        _check_same_images(context)
        network = _network(context, role)
        return _evidence(context, network, role)


def _check_finished(run: Path, weights: str, role: str) -> None:
    for file in (FACTS_FILE, "data/split.npz", weights):
        if not (run / file).is_file():
            raise RunDirectoryError(
                f"{run}: expected a run whose {role} is trained, got one without {file}. "
                f"Run first: hkd-edge distill {run}"
            )


def _check_same_images(context: Context) -> None:
    before, now = context.read_json(FACTS_FILE)["fingerprint"], context.dataset.fingerprint
    if before != now:
        raise RunDirectoryError(
            f"{context.run}: expected the images that the run was made of ({before[:12]}), got others ({now[:12]}). "
            f"Make the run again: hkd-edge distill {context.run}"
        )


def _network(context: Context, role: str) -> nn.Module:
    if role == "student":
        student: nn.Module = load_student(context)
        return student
    return load_teacher(context, "task", named_teachers(context)["task"])


class _Answers(nn.Module):
    """A network's logits and embedding side by side."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes + D)."""
        return torch.cat(self.network.answer(x), dim=1)  # type: ignore[operator]


@torch.inference_mode()
def _evidence(context: Context, network: nn.Module, role: str) -> Evidence:
    facts = context.read_json(FACTS_FILE)
    images = context.dataset.train.take(context.split().validation)
    normalize = Normalization(tuple(facts["mean"]), tuple(facts["std"]))
    pixels = on_device(images.images, context.device)
    answers = predict_logits(_Answers(network), pixels, normalize)
    logits, embeddings = answers[:, : len(facts["classes"])], answers[:, len(facts["classes"]) :]
    probabilities = logits.double().softmax(dim=1).cpu()
    classes = tuple(facts["classes"])
    right = top1(probabilities, torch.from_numpy(images.labels))
    return Evidence(
        classes,
        class_means(probabilities.numpy(), images.labels, len(classes)),
        class_means(embeddings.double().cpu().numpy(), images.labels, len(classes)),
        f"what the {role} of run {context.recipe.name} says of its {len(images):,} validation images "
        f"({right:.2f} % right); confusions are mean probabilities, not counts",
        (_TAUGHT,) if role == "student" and _was_taught_concepts(context.recipe) else (),
    )


def _was_taught_concepts(recipe: Recipe) -> bool:
    weights = recipe.distill.weights.model_dump()
    return recipe.teacher is not None and any(weights[loss] for loss in LOSSES_OF_TEACHER["concept"])
