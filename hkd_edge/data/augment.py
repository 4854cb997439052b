"""Batched augmentation on the training device.

A *view* is one augmented version of the whole training set: for every image a flip, a shift and an erased box, drawn
from (seed, view number). Views are data, not a stream of random numbers, so that a teacher can answer a view once and
be read from a cache ever after, and so that a resumed training sees the images that it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from hkd_edge.recipe.schema import Augment

_VIEW_STREAM = 0x9E3779B97F4A7C15  # an odd 64-bit constant keeps (seed, view) pairs apart after mixing


@dataclass(frozen=True)
class View:
    """Per image: flip (N,) bool; shift (N, 2) int64 in pixels, rows then columns; box (N, 4) int64 top, left, bottom,
    right of what is erased (empty if bottom <= top). None is nothing of that kind for any image."""

    flip: Tensor | None
    shift: Tensor | None
    box: Tensor | None

    def to(self, device: torch.device) -> View:
        """The same view on `device`."""
        return View(*(None if part is None else part.to(device) for part in (self.flip, self.shift, self.box)))


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
    flip = torch.rand(count, generator=generator) < 0.5 if augment.flip else None
    reach = augment.shift_px
    shift = torch.randint(-reach, reach + 1, (count, 2), generator=generator) if reach else None
    if augment.erase_fraction == 0:
        return View(flip, shift, None)
    side = (augment.erase_fraction * height * width) ** 0.5
    box_height, box_width = min(height, round(side)), min(width, round(side))
    top = torch.randint(0, height - box_height + 1, (count,), generator=generator)
    left = torch.randint(0, width - box_width + 1, (count,), generator=generator)
    return View(flip, shift, torch.stack([top, left, top + box_height, left + box_width], dim=1))


class Images(Protocol):
    """Images uint8 (N, H, W, C) on a device: a tensor, or what reads them when they are asked for."""

    def __getitem__(self, index: Tensor, /) -> Tensor: ...


def apply_view(images: Images, indices: Tensor, view: View) -> Tensor:
    """The images at `indices` (B,) of `images` uint8 (N, H, W, C) under `view`: uint8 (B, H, W, C).

    They are flipped, then shifted, then erased. What a shift brings in from outside is 0, and so is the erased box.
    """
    batch = images[indices]
    if view.flip is not None:
        batch = torch.where(view.flip[indices][:, None, None, None], batch.flip(2), batch)
    if view.shift is not None:
        batch = _shift(batch, view.shift[indices])
    if view.box is not None:
        batch = batch * ~_inside(batch, view.box[indices])[..., None]
    return batch


def _shift(batch: Tensor, shift: Tensor) -> Tensor:
    height, width = batch.shape[1:3]
    rows = torch.arange(height, device=batch.device) + shift[:, :1]
    columns = torch.arange(width, device=batch.device) + shift[:, 1:]
    image = torch.arange(len(batch), device=batch.device)[:, None, None]
    moved = batch[image, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
    was_there = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    return moved * was_there[..., None]


def _inside(batch: Tensor, box: Tensor) -> Tensor:
    """(B, H, W) bool: which pixels lie in the box of their image."""
    row = torch.arange(batch.shape[1], device=batch.device)
    column = torch.arange(batch.shape[2], device=batch.device)
    rows = (row >= box[:, 0:1]) & (row < box[:, 2:3])
    columns = (column >= box[:, 1:2]) & (column < box[:, 3:4])
    return rows[:, :, None] & columns[:, None, :]


def shrink(images: Tensor, scale: float) -> Tensor:
    """Images (B, C, H, W) of `scale` times the height and width, rounded: each pixel the mean of what it covers."""
    height, width = (max(1, round(side * scale)) for side in images.shape[2:])
    return F.interpolate(images, size=(height, width), mode="area")


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
