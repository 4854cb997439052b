"""How well a student answers images that were made worse: five kinds of corruption, each at five strengths.

After D. Hendrycks and T. Dietterich, arXiv 1903.12261, whose numbers those of noise and contrast are; the others are
given as shares of the image's size, because theirs are pixels of 224 x 224. Departures: top-1 is not divided by that of
a reference network, and translation and occlusion are none of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd_edge.data.augment import View, apply_view, generator_for
from hkd_edge.data.dataset import ImageSet
from hkd_edge.evaluate.metrics import predict_logits, top1

IMAGES = 2_000  # of a larger set; the same ones for every student
STRENGTHS: dict[str, tuple[float, ...]] = {
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),  # standard deviation, of pixels from 0 to 1
    "gaussian_blur": (0.015, 0.022, 0.03, 0.04, 0.055),  # standard deviation, share of the shorter side
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),  # what is left of the differences with the image's mean
    "translation": (0.04, 0.08, 0.12, 0.16, 0.2),  # share of the shorter side, at least a pixel
    "occlusion": (0.05, 0.1, 0.15, 0.2, 0.3),  # share of the area, hidden by a grey box
}
_SEED = 0
_GREY = 127
_BATCH_SIZE = 500
_DIRECTIONS = tuple((rows, columns) for rows in (-1, 0, 1) for columns in (-1, 0, 1) if rows or columns)


def corrupted_top1(
    network: nn.Module, images: ImageSet, normalize: Callable[[Tensor], Tensor], device: torch.device
) -> dict[str, tuple[float, ...]]:
    """Top-1 in percent by kind, at each strength, on `IMAGES` of the images (all, if there are no more).

    Which images, and what is drawn for them, depends on the images' number and size alone.
    """
    chosen = _subset(images)
    labels = torch.from_numpy(chosen.labels).to(device)
    pixels = torch.from_numpy(np.array(chosen.images[:])).to(device)
    return {
        kind: tuple(
            top1(predict_logits(network, corrupted(pixels, kind, strength), normalize), labels)
            for strength in range(len(strengths))
        )
        for kind, strengths in STRENGTHS.items()
    }


def corrupted(images: Tensor, kind: str, strength: int) -> Tensor:
    """Images uint8 (N, H, W, C) under the corruption `kind` of `STRENGTHS`, at its `strength` 0 to 4.

    The same for the same images, whatever was drawn before.
    """
    amount = STRENGTHS[kind][strength]
    generator = generator_for(_SEED, list(STRENGTHS).index(kind), strength)
    return torch.cat([_KINDS[kind](batch, amount, generator) for batch in torch.split(images, _BATCH_SIZE)])


def _gaussian_noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return _pixels(images + 255 * deviation * noise)


def _gaussian_blur(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """The border's pixels go on outside."""
    deviation = share * min(images.shape[1:3])
    radius = math.ceil(3 * deviation)
    kernel = torch.exp(-(torch.arange(-radius, radius + 1, device=images.device) ** 2) / (2 * deviation**2))
    kernel = kernel / kernel.sum()
    channels = images.shape[3]
    planes = F.pad(images.permute(0, 3, 1, 2).float(), (radius,) * 4, mode="replicate")
    for shape in ((1, 1, -1, 1), (1, 1, 1, -1)):
        planes = F.conv2d(planes, kernel.reshape(shape).expand(channels, 1, -1, -1).contiguous(), groups=channels)
    return _pixels(planes.permute(0, 2, 3, 1))


def _contrast(images: Tensor, kept: float, generator: torch.Generator) -> Tensor:
    means = images.float().mean(dim=(1, 2), keepdim=True)
    return _pixels(means + kept * (images - means))


def _translation(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """In one of eight directions, drawn for each image; what comes in from outside is 0."""
    reach = max(1, round(share * min(images.shape[1:3])))
    drawn = torch.randint(len(_DIRECTIONS), (len(images),), generator=generator)
    shift = reach * torch.tensor(_DIRECTIONS)[drawn]
    return apply_view(
        images, torch.arange(len(images), device=images.device), View(None, shift.to(images.device), None)
    )


def _occlusion(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """By a box of the image's shape, whole within it."""
    height, width = images.shape[1:3]
    tall, wide = (max(1, round(side * math.sqrt(share))) for side in (height, width))
    top = torch.randint(0, height - tall + 1, (len(images),), generator=generator)
    left = torch.randint(0, width - wide + 1, (len(images),), generator=generator)
    box = torch.stack([top, left, top + tall, left + wide], dim=1).to(images.device)
    everything = torch.arange(len(images), device=images.device)
    seen = apply_view(torch.ones_like(images), everything, View(None, None, box))
    return torch.where(seen.bool(), images, _GREY)


def _pixels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


_KINDS: dict[str, Callable[[Tensor, float, torch.Generator], Tensor]] = {
    "gaussian_noise": _gaussian_noise,
    "gaussian_blur": _gaussian_blur,
    "contrast": _contrast,
    "translation": _translation,
    "occlusion": _occlusion,
}


def _subset(images: ImageSet) -> ImageSet:
    if len(images) <= IMAGES:
        return images
    return images.take(np.sort(np.random.default_rng(_SEED).permutation(len(images))[:IMAGES]))
