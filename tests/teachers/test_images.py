from __future__ import annotations

import pytest
import torch
from torchvision.transforms import v2

from hkd_edge.data.augment import Normalization
from hkd_edge.recipe.foreign import ForeignInput
from hkd_edge.teachers.images import FitImages


def images(channels: int, height: int = 28, width: int = 20) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width, channels), generator=generator, dtype=torch.uint8)


def fitted(pixels: torch.Tensor, taken: ForeignInput) -> torch.Tensor:
    channels = pixels.shape[-1]
    mean, std = (0.3, 0.2, 0.1)[:channels], (0.4, 0.5, 0.6)[:channels]
    return FitImages(mean, std, taken)(Normalization(mean, std)(pixels))


def scaled(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "fraction"), [((64, 48), 1.0), ((12, 10), 1.0), ((64, 64), 0.875)])
def test_images_are_fitted_as_torchvision_s_transforms_do_it(mode, size, fraction):
    taken = ForeignInput(size=size, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation=mode,
                         crop_fraction=fraction)  # fmt: skip
    larger = [round(side / fraction) for side in size]
    resize = v2.Resize(larger, interpolation=v2.InterpolationMode[mode.upper()], antialias=True)
    theirs = v2.Compose([resize, v2.CenterCrop(size), v2.Normalize(taken.mean, taken.std)])
    pixels = images(3)
    expected = resize(scaled(pixels)).clamp(0, 1)
    expected = v2.Normalize(taken.mean, taken.std)(v2.CenterCrop(size)(expected))
    torch.testing.assert_close(fitted(pixels, taken), expected, atol=1e-4, rtol=1e-4)
    assert mode == "bicubic" or torch.allclose(theirs(scaled(pixels)), expected, atol=1e-5)


def test_a_grey_image_comes_three_times_and_then_is_normalised_by_channel():
    taken = ForeignInput(size=(28, 20), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    red, green, blue = fitted(images(1), taken).unbind(1)
    torch.testing.assert_close(red * 0.2 + 0.5, scaled(images(1))[:, 0])
    torch.testing.assert_close(red * 0.2 + 0.5, green * 0.3 + 0.4)
    torch.testing.assert_close(red * 0.2 + 0.5, blue * 0.4 + 0.3)


def test_colours_are_weighed_for_a_grey_network():
    grey = fitted(images(3), ForeignInput(size=(28, 20), mean=(0.0,), std=(1.0,), channels="grey"))
    expected = (scaled(images(3)) * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    torch.testing.assert_close(grey, expected)


def test_blue_comes_first_where_the_network_wants_it_and_the_mean_is_in_its_order():
    taken = ForeignInput(size=(28, 20), mean=(0.1, 0.2, 0.3), std=(1.0,), channels="bgr")
    torch.testing.assert_close(fitted(images(3), taken)[:, 0] + 0.1, scaled(images(3))[:, 2])


def test_channels_come_last_where_the_network_wants_them():
    first = ForeignInput(size=(14, 10), mean=(0.5,), std=(0.5,))
    last = first.model_copy(update={"layout": "nhwc"})
    torch.testing.assert_close(fitted(images(3), last), fitted(images(3), first).permute(0, 2, 3, 1))


def test_nearest_repeats_pixels():
    taken = ForeignInput(size=(56, 40), mean=(0.0,), std=(1.0,), interpolation="nearest")
    expected = scaled(images(3)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(fitted(images(3), taken), expected)
