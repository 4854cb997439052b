"""Batched augmentation on the training device.

A *view* is one augmented version of the whole training set: for every image a flip, a shift and an erased box, drawn
from (seed, view number). Views are data, not a stream of random numbers, so that a teacher can answer a view once and
be read from a cache ever after, and so that a resumed training sees the images that it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hkd_edge.recipe.schema import Augment

_VIEW_STREAM = 0x9E3779B97F4A7C15  # an odd 64-bit constant keeps (seed, view) pairs apart after mixing


@dataclass(frozen=True)
class View:
    """Per image: flip (N,) bool; shift (N, 2) int64 in pixels, rows then columns; box (N, 4) int64 top, left, bottom,
    right of what is erased (empty if bottom <= top)."""

    flip: Tensor
    shift: Tensor
    box: Tensor

    def to(self, device: torch.device) -> View:
        """The same view on `device`."""
        return View(self.flip.to(device), self.shift.to(device), self.box.to(device))


def generator_for(*numbers: int) -> torch.Generator:
    """A CPU generator that depends on all of `numbers`, each in its place."""
    state = 0
    for number in numbers:
        state = (state ^ (number + 1)) * _VIEW_STREAM % 2**63
        state ^= state >> 29
    return torch.Generator().manual_seed(state)


def draw_view(augment: Augment, count: int, size: tuple[int, int], seed: int, view: int) -> View:
    """View number `view` of `count` images of `size` (H, W): the same for the same seed on every machine."""
    generator = generator_for(seed, view)
    height, width = size
    flip = torch.rand(count, generator=generator) < 0.5 if augment.flip else torch.zeros(count, dtype=torch.bool)
    reach = augment.shift_px
    shift = torch.randint(-reach, reach + 1, (count, 2), generator=generator)
    side = (augment.erase_fraction * height * width) ** 0.5
    box_height, box_width = min(height, round(side)), min(width, round(side))
    top = torch.randint(0, height - box_height + 1, (count,), generator=generator)
    left = torch.randint(0, width - box_width + 1, (count,), generator=generator)
    return View(flip, shift, torch.stack([top, left, top + box_height, left + box_width], dim=1))


def apply_view(images: Tensor, indices: Tensor, view: View) -> Tensor:
    """The images at `indices` (B,) of `images` uint8 (N, H, W, C) under `view`: uint8 (B, H, W, C).

    What a shift brings in from outside is 0, and so is the erased box.
    """
    height, width = images.shape[1:3]
    row = torch.arange(height, device=images.device)
    column = torch.arange(width, device=images.device)
    shift = view.shift[indices]
    rows = row + shift[:, :1]
    columns = column + shift[:, 1:]
    source_columns = torch.where(view.flip[indices][:, None], width - 1 - columns, columns)
    batch = images[
        indices[:, None, None],
        rows.clamp(0, height - 1)[:, :, None],
        source_columns.clamp(0, width - 1)[:, None, :],
    ]
    inside_rows = (rows >= 0) & (rows < height)
    inside_columns = (columns >= 0) & (columns < width)
    box = view.box[indices]
    erased_rows = (row >= box[:, 0:1]) & (row < box[:, 2:3])
    erased_columns = (column >= box[:, 1:2]) & (column < box[:, 3:4])
    kept = inside_rows[:, :, None] & inside_columns[:, None, :]
    kept &= ~(erased_rows[:, :, None] & erased_columns[:, None, :])
    return batch * kept[..., None]


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation per channel, of pixels scaled to 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 (B, H, W, C) as normalised float32 (B, C, H, W) in channels-last memory."""
        scale = _row([1 / (255 * s) for s in self.std], images)
        bias = _row([-m / s for m, s in zip(self.mean, self.std, strict=True)], images)
        return (images.to(torch.float32) * scale + bias).permute(0, 3, 1, 2)


def _row(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)
