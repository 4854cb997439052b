"""A linear head on the embeddings of a network that stays as it is: multinomial logistic regression for each axis.

The loss is convex, so that it has no learning rate and no epochs to choose: L-BFGS goes to its minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd_edge.errors import TrainingError

_CHUNK = 8192  # embeddings that are made float32 at a time
_MAX_STEPS = 200
_LEAST_CHANGE = 1e-7  # of the loss, below which it is taken for the minimum


@dataclass(frozen=True)
class Labels:
    """Per image its column on each axis (N, axes) int64, -1 where it has none; the columns of each axis; and, if
    classes weigh differently, the weight of each column (K,) float32."""

    places: Tensor
    columns: tuple[slice, ...]
    weights: Tensor | None = None

    @property
    def outputs(self) -> int:
        """K, how many columns all axes have."""
        return int(self.columns[-1].stop)


def fit_linear_head(embeddings: Tensor, labels: Labels, decay: float) -> tuple[nn.Linear, float]:
    """The head (E -> K) that minimises cross-entropy (mean over an axis' images, then over axes) + decay / 2 |W|^2.

    `embeddings` (N, E) float16 or float32. W is of embeddings standardised by their mean and deviation, which the head
    that is given back has in it. The number is the cross-entropy that was reached.

    Raises:
        TrainingError: if it is not finite, or if an axis speaks of no image.
    """
    counts = (labels.places >= 0).sum(0)
    if int(counts.min()) == 0:
        raise TrainingError("foreign.head: expected labelled images on every axis, got an axis without any.")
    mean, std = _statistics(embeddings)
    head = nn.Linear(embeddings.shape[1], labels.outputs).to(embeddings.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=_MAX_STEPS, tolerance_change=_LEAST_CHANGE, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = 0.5 * decay * head.weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        for rows in torch.split(torch.arange(len(embeddings), device=embeddings.device), _CHUNK):
            # Standardising the weights is much cheaper than standardising the embeddings.
            weight = head.weight / std
            logits = F.linear(embeddings[rows].float(), weight, head.bias - weight @ mean)
            loss = _cross_entropy(logits, labels.places[rows], labels, counts)
            loss.backward()  # type: ignore[no-untyped-call]
            total = total.detach() + loss.detach()
        return total.detach()

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        reached = float(closure()) - 0.5 * decay * float(head.weight.detach().square().sum())
    if not torch.isfinite(torch.tensor(reached)):
        raise TrainingError(f"foreign.head: expected a finite loss of the head, got {reached}. Raise head_decay.")
    return _unstandardised(head, mean, std), reached


def _cross_entropy(logits: Tensor, places: Tensor, labels: Labels, counts: Tensor) -> Tensor:
    """The part that these images have in the mean over images, then over axes."""
    parts = []
    for axis, columns in enumerate(labels.columns):
        weights = None if labels.weights is None else labels.weights[columns]
        part = F.cross_entropy(logits[:, columns], places[:, axis], weights, ignore_index=-1, reduction="sum")
        parts.append(part / counts[axis])
    return torch.stack(parts).mean()


def _statistics(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (E,) float32; a dimension that never changes has a deviation of 1."""
    total = torch.zeros(embeddings.shape[1], dtype=torch.float64, device=embeddings.device)
    squares = torch.zeros_like(total)
    for chunk in torch.split(embeddings, _CHUNK):
        total += chunk.double().sum(0)
        squares += chunk.double().square().sum(0)
    mean = total / len(embeddings)
    variance = (squares / len(embeddings) - mean.square()).clamp(min=0)
    std = torch.where(variance > 1e-12 * mean.square().clamp(min=1e-12), variance.sqrt(), torch.ones_like(variance))
    return mean.float(), std.float()


@torch.no_grad()
def _unstandardised(head: nn.Linear, mean: Tensor, std: Tensor) -> nn.Linear:
    """The head of plain embeddings that answers as `head` does of standardised ones."""
    plain = nn.Linear(head.in_features, head.out_features).to(head.weight.device)
    plain.weight.copy_(head.weight / std)
    plain.bias.copy_(head.bias - plain.weight @ mean)
    return plain.requires_grad_(False)


def columns_of(sizes: Sequence[int]) -> tuple[slice, ...]:
    """The columns of axes of those `sizes`, side by side.

    >>> columns_of([2, 3])
    (slice(0, 2, None), slice(2, 5, None))
    """
    ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
    return tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))
