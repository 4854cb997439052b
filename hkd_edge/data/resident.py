"""Training, validation and test images as tensors that stay in the training device's memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hkd_edge.data.augment import Normalization, View, apply_view, draw_view, shrink
from hkd_edge.data.dataset import Dataset, ImageSet, Split, class_weights, pixel_statistics
from hkd_edge.recipe.schema import Augment


@dataclass(frozen=True)
class ResidentSet:
    """Images uint8 (N, H, W, C) and labels int64 (N,) on one device, as in `ImageSet`."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class ResidentData:
    """The data of one run on `device`, with its normalisation and its augmented views.

    `labelled` (M,) are the training images whose fine label may be used, None if all are. What concepts an image
    shows is known of all by its label, whether that is a class or, beyond the classes, a row of `unlabelled`.

    `class_weights` (C,) float32 are what the cross-entropy with the labels weighs each class by, counted over the
    images whose label may be used; None = all alike.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        augment: Augment,
        seed: int,
        device: torch.device,
        *,
        balance: str = "none",
    ) -> None:
        train = dataset.train.take(split.train)
        self.train = _resident(train, device)
        self.labelled = None if split.labelled is None else torch.from_numpy(split.labelled).to(device)
        self.unlabelled = dataset.unlabelled
        self.validation = _resident(dataset.train.take(split.validation), device)
        self.test = _resident(dataset.test, device)
        self.normalize = Normalization(*pixel_statistics(train.images))
        seen = train.labels if split.labelled is None else train.labels[split.labelled]
        weights = class_weights(seen, len(dataset.classes)) if balance == "weights" else None
        self.class_weights = None if weights is None else torch.from_numpy(weights).to(device)
        self.device = device
        self._augment = augment
        self._seed = seed
        self._views: dict[int, View] = {}

    def view_batch(self, view: int, indices: Tensor, scale: float = 1.0) -> Tensor:
        """Training images at `indices` (B,) under view number `view`: normalised float32 (B, C, H, W).

        With a `scale` below 1 height and width are that share of the full ones, rounded.
        """
        return self.normalize_at(scale)(apply_view(self.train.images, indices, self._view(view)))

    def normalize_at(self, scale: float) -> Callable[[Tensor], Tensor]:
        """Normalises images uint8 (B, H, W, C) to float32 (B, C, H, W), at `scale` times their height and width."""
        return self.normalize if scale == 1 else lambda images: shrink(self.normalize(images), scale)

    def _view(self, view: int) -> View:
        if view not in self._views:
            height, width = self.train.images.shape[1:3]
            drawn = draw_view(self._augment, len(self.train), (height, width), self._seed, view)
            self._views = {view: drawn.to(self.device)}  # one at a time: an epoch stays with its view
        return self._views[view]


def _resident(images: ImageSet, device: torch.device) -> ResidentSet:
    return ResidentSet(torch.from_numpy(images.images.copy()).to(device), torch.from_numpy(images.labels).to(device))
