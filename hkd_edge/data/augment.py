"""Batched augmentation on the training device.

A *view* is one augmented version of the whole training set: for every image a flip, a shift, an erased box, a zoom and
a light, drawn from (seed, view number). Views are data, not a stream of random numbers, so that a teacher can answer a
view once and be read from a cache ever after, and so that a resumed training sees the images that it would have seen.
"""

from __future__ import annotations

import math
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
    right of what is erased (empty if bottom <= top); zoom (N,) float32, how many times larger; light (N, 3) float32,
    what multiplies the levels of each colour (its mean those of grey). None is nothing of that kind for any image.
    """

    flip: Tensor | None
    shift: Tensor | None
    box: Tensor | None
    zoom: Tensor | None = None
    light: Tensor | None = None

    def to(self, device: torch.device) -> View:
        """The same view on `device`."""
        parts = (self.flip, self.shift, self.box, self.zoom, self.light)
        return View(*(None if part is None else part.to(device) for part in parts))


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
    flip = torch.rand(count, generator=generator) < 0.5 if augment.flip else None
    reach = augment.shift_px
    shift = torch.randint(-reach, reach + 1, (count, 2), generator=generator) if reach else None
    box = _draw_box(augment.erase_fraction, count, size, generator) if augment.erase_fraction else None
    zoom = (_signed(count, generator) * math.log1p(augment.zoom_fraction)).exp() if augment.zoom_fraction else None
    return View(flip, shift, box, zoom, _draw_light(augment.light_fraction, count, generator))


def _draw_box(fraction: float, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    height, width = size
    side = (fraction * height * width) ** 0.5
    box_height, box_width = min(height, round(side)), min(width, round(side))
    top = torch.randint(0, height - box_height + 1, (count,), generator=generator)
    left = torch.randint(0, width - box_width + 1, (count,), generator=generator)
    return torch.stack([top, left, top + box_height, left + box_width], dim=1)


def _draw_light(fraction: float, count: int, generator: torch.Generator) -> Tensor | None:
    """Brighter or darker by `fraction` at most, and each colour by a quarter of it more or less than the others."""
    if fraction == 0:
        return None
    whole = 1 + fraction * _signed(count, generator)
    return whole[:, None] * (1 + fraction / 4 * _signed(3 * count, generator).view(count, 3))


def _signed(count: int, generator: torch.Generator) -> Tensor:
    return 2 * torch.rand(count, generator=generator) - 1


class Images(Protocol):
    """Images uint8 (N, H, W, C) on a device: a tensor, or what reads them when they are asked for."""

    def __getitem__(self, index: Tensor, /) -> Tensor: ...


def apply_view(images: Images, indices: Tensor, view: View) -> Tensor:
    """The images at `indices` (B,) of `images` uint8 (N, H, W, C) under `view`: uint8 (B, H, W, C).

    They are flipped, zoomed, shifted, erased, then lit. What comes in from outside is 0, and so is the erased box.
    """
    batch = images[indices]
    if view.flip is not None:
        batch = torch.where(view.flip[indices][:, None, None, None], batch.flip(2), batch)
    if view.zoom is not None:
        batch = _zoom(batch, view.zoom[indices])
    if view.shift is not None:
        batch = _shift(batch, view.shift[indices])
    if view.box is not None:
        batch = batch * ~_inside(batch, view.box[indices])[..., None]
    if view.light is not None:
        batch = _light(batch, view.light[indices])
    return batch


def _zoom(batch: Tensor, zoom: Tensor) -> Tensor:
    """Each image `zoom` (B,) times as large around its centre, bilinear."""
    images = batch.permute(0, 3, 1, 2).float()
    # A grid says where in the source each pixel comes from: the other way round.
    matrices = torch.eye(2, 3, device=batch.device) / zoom[:, None, None]
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _light(batch: Tensor, light: Tensor) -> Tensor:
    factors = light[:, : batch.shape[3]] if batch.shape[3] > 1 else light.mean(1, keepdim=True)
    return (batch * factors[:, None, None, :]).clamp(0, 255).round().to(torch.uint8)


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
