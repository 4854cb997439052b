from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from hkd_edge.data.dataset import ImageSet
from hkd_edge.study import corruptions
from hkd_edge.study.corruptions import STRENGTHS, corrupted, corrupted_top1

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 28, 20, 3), dtype=np.uint8))
CASES = [(kind, strength) for kind in STRENGTHS for strength in range(5)]


def test_there_are_five_kinds_at_five_strengths():
    assert [len(strengths) for strengths in STRENGTHS.values()] == [5] * 5


@pytest.mark.parametrize(("kind", "strength"), CASES)
def test_each_changes_the_images_and_repeats(kind, strength):
    worse = corrupted(IMAGES, kind, strength)
    assert (worse.shape, worse.dtype) == (IMAGES.shape, torch.uint8)
    assert not torch.equal(worse, IMAGES)
    torch.rand(3)
    assert torch.equal(worse, corrupted(IMAGES, kind, strength))


@pytest.mark.parametrize("kind", STRENGTHS)
def test_each_is_stronger_than_the_one_before(kind):
    smooth = torch.linspace(0, 255, 28).round().byte()[None, :, None, None].expand(50, 28, 28, 1).contiguous()
    lost = [(corrupted(smooth, kind, strength).float() - smooth).abs().mean().item() for strength in range(5)]
    assert lost == sorted(lost)
    assert lost[-1] > lost[0]


def test_blur_is_scipys():
    deviation = STRENGTHS["gaussian_blur"][4] * 20
    blurred = corrupted(IMAGES, "gaussian_blur", 4).numpy()
    radius = int(np.ceil(3 * deviation))
    expected = gaussian_filter(
        IMAGES.numpy().astype(np.float64), (0, deviation, deviation, 0), mode="nearest", radius=(0, radius, radius, 0)
    )
    assert np.abs(blurred - expected).max() <= 0.51


def test_contrast_keeps_the_mean_and_a_share_of_the_spread():
    images = IMAGES.float()
    worse = corrupted(IMAGES, "contrast", 0).float()
    assert torch.allclose(worse.mean((1, 2)), images.mean((1, 2)), atol=0.5)
    assert torch.allclose(worse.std((1, 2)), 0.4 * images.std((1, 2)), atol=0.5)


def test_noise_has_the_deviation_that_is_stated():
    grey = torch.full((50, 28, 28, 1), 127, dtype=torch.uint8)
    assert corrupted(grey, "gaussian_noise", 0).float().std().item() == pytest.approx(0.08 * 255, rel=0.02)


def test_translation_moves_by_whole_pixels():
    dots = torch.zeros(200, 25, 25, 1, dtype=torch.uint8)
    dots[:, 12, 12] = 255
    places = corrupted(dots, "translation", 1)[..., 0].nonzero()[:, 1:]
    assert {tuple(place) for place in places.tolist()} == {(r, c) for r in (10, 12, 14) for c in (10, 12, 14)} - {
        (12, 12)
    }


def test_occlusion_hides_the_share_that_is_stated():
    white = torch.full((20, 40, 20, 1), 255, dtype=torch.uint8)
    hidden = (corrupted(white, "occlusion", 3) == 127).float().mean((1, 2, 3))
    assert torch.allclose(hidden, torch.tensor(0.2), atol=0.03)


class Brightness(nn.Module):
    """Answers 1 where the image's first pixel is bright."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 2)."""
        return torch.stack([torch.full((len(x),), 127.5), x[:, 0, 0, 0]], dim=1)


def test_top1_is_measured_on_the_same_images_of_a_large_set(monkeypatch):
    monkeypatch.setattr(corruptions, "IMAGES", 30)
    labels = np.arange(100) % 2
    pixels = np.repeat(255 * labels, 64).reshape(100, 8, 8, 1).astype(np.uint8)
    found = corrupted_top1(
        Brightness(), ImageSet(pixels, labels), lambda x: x.permute(0, 3, 1, 2).float(), torch.device("cpu")
    )
    assert found["contrast"] == (100.0,) * 5
    assert 50 < found["translation"][4] < 100
    assert all(abs(value * 0.3 - round(value * 0.3)) < 1e-9 for values in found.values() for value in values)
