"""How the weights of the losses change over the epochs. They depend on the epoch alone, so that a resume is exact."""

from __future__ import annotations

import math

from hkd_edge.recipe.schema import Distill, Weights


def weights_at(epoch: int, settings: Distill) -> Weights:
    """The weights in `epoch` (0, 1, ...): `ce` as it is, all others times `teacher_factor`.

    That holds for `concept_labels` too, whose teacher is the labels: a control must have its methods' freedom.
    """
    factor = teacher_factor(epoch, settings.training.epochs, settings.teacher_warmup, settings.teacher_decay)
    others = {name: factor * weight for name, weight in settings.weights.model_dump(exclude={"ce"}).items()}
    return settings.weights.model_copy(update=others)


def teacher_factor(epoch: int, epochs: int, warmup: float, decay: str) -> float:
    """What the teachers' weights are multiplied by in `epoch` of `epochs`, 0 to 1.

    It rises linearly over the first `warmup` (a share) of the epochs, as the code of arXiv 2203.08679 does with 20 of
    240 epochs, and falls from 1 in the first epoch towards 0, which would come one epoch after the last.

    >>> [teacher_factor(epoch, 4, 0.5, "none") for epoch in range(4)]
    [0.5, 1.0, 1.0, 1.0]
    >>> [teacher_factor(epoch, 4, 0.0, "linear") for epoch in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """
    done = epoch / epochs
    risen = min(1.0, (epoch + 1) / (warmup * epochs)) if warmup > 0 else 1.0
    left = {"none": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return risen * left[decay]
