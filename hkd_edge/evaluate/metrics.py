"""Accuracies in percent, and the forward pass over images that are in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hkd_edge.train.device import autocast

_BATCH_SIZE = 500


@torch.inference_mode()
def predict_logits(
    network: nn.Module, images: Tensor, normalize: Callable[[Tensor], Tensor], precision: str = "fp32"
) -> Tensor:
    """Logits float32 (N, outputs) of `network`, in evaluation mode, for images uint8 (N, H, W, C)."""
    network.eval()
    logits = []
    for batch in torch.split(images, _BATCH_SIZE):
        with autocast(images.device, precision):
            logits.append(network(normalize(batch)).float())
    return torch.cat(logits)


def top1(scores: Tensor, labels: Tensor) -> float:
    """Percent of rows of `scores` (N, C) whose largest entry is at `labels` (N,); NaN if N is 0."""
    if len(labels) == 0:
        return float("nan")
    return 100.0 * float((scores.argmax(dim=1) == labels).double().mean())
