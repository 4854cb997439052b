"""Accuracies in percent, and the forward pass over images that are in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hkd_edge.data.resident import DeviceImages, answered_at_once
from hkd_edge.train.device import autocast
from hkd_edge.train.team import ALONE, Team


@torch.inference_mode()
def predict_logits(
    network: nn.Module,
    images: DeviceImages,
    normalize: Callable[[Tensor], Tensor],
    precision: str = "fp32",
    team: Team = ALONE,
) -> Tensor:
    """Logits float32 (N, outputs) of `network`, in evaluation mode, for images uint8 (N, H, W, C).

    The processes of `team` share the work, and all have all logits.
    """
    network.eval()
    logits = []
    count = answered_at_once(images)
    for start in range(0, len(images), count):
        batch = images[start : start + count]
        with autocast(images.device, precision):
            logits.append(team.answers(lambda rows: network(normalize(rows)).float(), batch))
    return torch.cat(logits)


def top1(scores: Tensor, labels: Tensor) -> float:
    """Percent of rows of `scores` (N, C) whose largest entry is at `labels` (N,); NaN if N is 0."""
    if len(labels) == 0:
        return float("nan")
    return 100.0 * float((scores.argmax(dim=1) == labels).double().mean())
