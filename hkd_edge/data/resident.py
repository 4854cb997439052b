"""Training, validation and test images as tensors in the training device's memory, or streamed to it from a file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hkd_edge.data.augment import Normalization, View, apply_view, draw_view, shrink
from hkd_edge.data.dataset import Dataset, ImageSet, Split, class_weights, pixel_statistics
from hkd_edge.data.stored import Pixels, StoredImages
from hkd_edge.recipe.schema import Augment


class StreamedImages:
    """Images uint8 (N, H, W, C) that are read from their file and brought to `device` when they are asked for.

    It stands where a tensor of them would, for reading at indices (B,) or a slice, and gives the same bits.
    """

    def __init__(self, stored: StoredImages, device: torch.device) -> None:
        self._stored = stored
        self.device = device
        self.shape = torch.Size(stored.shape)

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        rows = index if isinstance(index, slice) else index.cpu().numpy()
        return torch.from_numpy(self._stored[rows]).to(self.device)


DeviceImages = Tensor | StreamedImages


def answered_at_once(images: DeviceImages) -> int:
    """How many images a network that is not trained is given at a time: 500, fewer of more than 52 x 52 x 3."""
    return max(1, min(500, 2**22 // math.prod(images.shape[1:])))


@dataclass(frozen=True)
class ResidentSet:
    """Images uint8 (N, H, W, C) and labels int64 (N,) on one device, as in `ImageSet`."""

    images: DeviceImages
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


def on_device(images: Pixels, device: torch.device) -> DeviceImages:
    """A copy of the images on `device`, or a stream to it of images that do not fit into memory."""
    if isinstance(images, StoredImages):
        return StreamedImages(images, device)
    return torch.tensor(images[:], device=device)


def _resident(images: ImageSet, device: torch.device) -> ResidentSet:
    return ResidentSet(on_device(images.images, device), torch.from_numpy(images.labels).to(device))
