"""From the images of a recipe to what another network was made for: its size, its channels, its normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd_edge.recipe.foreign import ForeignInput

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as the board's conversion to grey


class FitImages(nn.Module):
    """Images of the recipe's data, normalised by `mean` and `std`, as `taken` describes what the network takes.

    `mean` and `std` are those of the data, an entry for each of its 1 or 3 channels (rgb).
    """

    given_mean: Tensor
    given_std: Tensor
    taken_mean: Tensor
    taken_std: Tensor
    luma: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], taken: ForeignInput) -> None:
        super().__init__()
        self._taken = taken
        channels = 1 if taken.channels == "grey" else 3
        self._buffer("given_mean", mean, len(mean))
        self._buffer("given_std", std, len(mean))
        self._buffer("taken_mean", taken.mean, channels)
        self._buffer("taken_std", taken.std, channels)
        self._buffer("luma", LUMA, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) of the data -> (N, C', H', W'), or (N, H', W', C') for the layout nhwc."""
        pixels = x.float() * self.given_std + self.given_mean
        if pixels.shape[1] == 3 and self._taken.channels == "grey":
            pixels = (pixels * self.luma).sum(1, keepdim=True)
        pixels = self._cropped(self._resized(pixels))
        if self._taken.channels == "bgr" and pixels.shape[1] == 3:
            pixels = pixels.flip(1)
        # A grey image comes three times where three channels are taken, by broadcasting.
        fitted = (pixels - self.taken_mean) / self.taken_std
        if self._taken.layout == "nhwc":
            return fitted.permute(0, 2, 3, 1).contiguous()
        return fitted.contiguous(memory_format=torch.channels_last)

    def _resized(self, pixels: Tensor) -> Tensor:
        height, width = (round(side / self._taken.crop_fraction) for side in self._taken.size)
        if pixels.shape[2:] == (height, width):
            return pixels
        if self._taken.interpolation == "nearest":
            return F.interpolate(pixels, (height, width), mode="nearest-exact")
        resized = F.interpolate(
            pixels, (height, width), mode=self._taken.interpolation, align_corners=False, antialias=True
        )
        return resized.clamp(0, 1)  # bicubic overshoots

    def _cropped(self, pixels: Tensor) -> Tensor:
        height, width = self._taken.size
        top, left = (pixels.shape[2] - height) // 2, (pixels.shape[3] - width) // 2
        return pixels[:, :, top : top + height, left : left + width]

    def _buffer(self, name: str, values: Sequence[float], channels: int) -> None:
        numbers = torch.tensor([*values] * (channels // len(values)), dtype=torch.float32)
        self.register_buffer(name, numbers.view(1, -1, 1, 1), persistent=False)
