"""What a module inside the student says, for losses that match a teacher's embedding there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hkd_edge.errors import TrainingError
from hkd_edge.models.network import Network
from hkd_edge_runtime.errors import did_you_mean


def answer_and_tap(student: Network, images: Tensor, layer: str | None) -> tuple[Tensor, Tensor]:
    """Logits (N, C) for normalised images (N, C, H, W), and the output (N, D) of the module named `layer`.

    Maps (N, D, H, W) are averaged over height and width; None is the embedding before the head.

    Raises:
        TrainingError: if no such module was asked, or its output has another shape.
    """
    if layer is None:
        return student.answer(images)
    seen: list[Tensor] = []
    hook = _module(student, layer).register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        logits = student(images)
    finally:
        hook.remove()
    output = seen[-1] if seen else None
    if not isinstance(output, Tensor) or output.ndim not in (2, 4):
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise TrainingError(
            f"recipe.distill.embedding.layer: expected a module that answers maps (N, D, H, W) or vectors (N, D), got "
            f"{got} of {layer!r}. Name another, or null for the embedding before the head."
        )
    return logits, output.mean((2, 3)) if output.ndim == 4 else output


def tapped_size(student: Network, layer: str, image: Tensor) -> int:
    """How many numbers `answer_and_tap` takes from `layer`; the student is asked about one image, and not changed.

    Raises:
        TrainingError: as `answer_and_tap`; if the student has no such module.
    """
    training = student.training
    student.eval()
    try:
        with torch.no_grad():
            return answer_and_tap(student, image, layer)[1].shape[1]
    finally:
        student.train(training)


def _module(student: Network, layer: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(student.named_modules())
    if layer in modules and layer:
        return modules[layer]
    parts = [f"backbone.{name}" for name, _ in student.backbone.named_children()]
    raise TrainingError(
        f"recipe.distill.embedding.layer: expected the name of a module of the student, got {layer!r}."
        f"{did_you_mean(layer, list(modules))} The parts of its backbone in their order: {', '.join(parts)}."
    )
