"""Batches under a budget of labels: which images a step sees when only some have a fine label.

Source: K. Sohn et al., arXiv 2001.07685, section 2.2 (each batch holds labelled and unlabelled images in a fixed
ratio). A deliberate departure: the batch keeps its size and an epoch its number of steps, so that every method takes
as many steps of as many images, whatever the budget.
"""

from __future__ import annotations

import torch
from torch import Tensor


def budgeted_batch(indices: Tensor, labelled: Tensor | None, share: float) -> tuple[Tensor, int]:
    """The images of a step, those with a label first, and how many these are.

    `indices` (B,) are drawn from all training images, `labelled` (M,) are those with a label (None: all are). The
    first `share` of the batch, at least one image, is replaced by labelled ones: image i by labelled image i mod M,
    so that in an epoch each of them is seen equally often, to one, wherever a training is resumed.

    >>> budgeted_batch(torch.tensor([5, 2, 7, 0]), torch.tensor([3, 4]), 0.5)
    (tensor([4, 3, 7, 0]), 2)
    """
    if labelled is None:
        return indices, len(indices)
    count = max(1, round(len(indices) * share))
    return torch.cat([labelled[indices[:count] % len(labelled)], indices[count:]]), count
