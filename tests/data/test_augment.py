"""Views are drawn once, are the same for the same seed, and do to an image what they say."""

from __future__ import annotations

import torch

from hkd_edge.data.augment import Normalization, View, apply_view, draw_view, shrink
from hkd_edge.recipe.schema import Augment

EVERYTHING = Augment(flip=True, shift_px=2, erase_fraction=0.1, zoom_fraction=0.5, light_fraction=0.4)
NOTHING = Augment()


def numbered(count: int = 3, size: int = 6) -> torch.Tensor:
    """Images (count, size, size, 1) in which every pixel has another value, none of them 0."""
    return (torch.arange(count * size * size) % 255 + 1).to(torch.uint8).reshape(count, size, size, 1)


def still(count: int) -> View:
    return View(
        torch.zeros(count, dtype=torch.bool),
        torch.zeros(count, 2, dtype=torch.int64),
        torch.zeros(count, 4, dtype=torch.int64),
    )


def test_the_same_seed_and_view_number_draw_the_same_view() -> None:
    one, two = (draw_view(EVERYTHING, 50, (8, 8), 3, 7) for _ in range(2))
    for part in ("flip", "shift", "box", "zoom", "light"):
        first, second = getattr(one, part), getattr(two, part)
        assert torch.equal(first, second)


def test_other_seeds_and_view_numbers_draw_other_views() -> None:
    shifts = [draw_view(EVERYTHING, 50, (8, 8), seed, view).shift for seed, view in ((0, 1), (1, 0), (0, 0))]
    assert not torch.equal(shifts[0], shifts[1])
    assert not torch.equal(shifts[0], shifts[2])


def test_a_view_without_shift_and_box_flips_as_one_with_them() -> None:
    assert torch.equal(
        draw_view(Augment(flip=True), 50, (8, 8), 3, 7).flip, draw_view(EVERYTHING, 50, (8, 8), 3, 7).flip
    )


def test_shrunk_images_are_means_of_what_they_cover() -> None:
    images = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert shrink(images, 0.5).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_without_augmentation_an_image_stays_as_it_is() -> None:
    images, indices = numbered(), torch.tensor([2, 0])
    view = draw_view(NOTHING, 3, (6, 6), 0, 0)
    assert torch.equal(apply_view(images, indices, view), images[indices])


def test_a_flip_mirrors_left_to_right() -> None:
    images, view = numbered(), still(3)
    view.flip[1] = True
    result = apply_view(images, torch.arange(3), view)
    assert torch.equal(result[1], images[1].flip(1))
    assert torch.equal(result[0], images[0])


def test_a_shift_brings_in_zeros() -> None:
    images, view = numbered(), still(3)
    view.shift[0] = torch.tensor([1, -2])
    result = apply_view(images, torch.tensor([0]), view)[0]
    assert torch.equal(result[:-1, 2:], images[0, 1:, :-2])
    assert result[-1].sum() == 0
    assert result[:, :2].sum() == 0


def test_an_erased_box_is_zero_and_the_rest_is_kept() -> None:
    images, view = numbered(), still(3)
    view.box[0] = torch.tensor([1, 2, 4, 5])
    result = apply_view(images, torch.tensor([0]), view)[0]
    assert result[1:4, 2:5].sum() == 0
    assert torch.equal(result[4:], images[0, 4:])


def test_drawn_boxes_have_the_area_that_was_asked_for() -> None:
    box = draw_view(EVERYTHING, 50, (28, 28), 0, 0).box
    areas = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    assert set(areas.tolist()) == {81}  # the nearest square to a tenth of 784
    assert box.min() >= 0
    assert box.max() <= 28


def test_normalisation_gives_zero_mean_and_unit_deviation_in_channels_last_memory() -> None:
    images = torch.tensor([[[[0]], [[255]]]], dtype=torch.uint8)
    result = Normalization((0.5,), (0.5,))(images)
    assert result.flatten().tolist() == [-1.0, 1.0]
    assert result.shape == (1, 1, 2, 1)


def test_a_zoom_of_two_shows_the_middle_half_and_one_of_a_half_has_black_around_it() -> None:
    images = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    images[:, 2:6, 2:6] = 200
    result = apply_view(images, torch.arange(2), View(None, None, None, zoom=torch.tensor([2.0, 0.5])))
    assert result[0, 1:7, 1:7].eq(200).all()
    assert result[1, 3:5, 3:5].eq(200).all()
    assert result[1, :2].eq(0).all()
    assert result.is_contiguous()


def test_a_zoom_of_one_changes_nothing() -> None:
    images = numbered()
    assert torch.equal(apply_view(images, torch.arange(3), View(None, None, None, zoom=torch.ones(3))), images)


def test_zooms_and_lights_stay_within_their_shares() -> None:
    view = draw_view(EVERYTHING, 2000, (8, 8), 0, 0)
    assert view.zoom is not None
    assert view.light is not None
    assert 1 / 1.5 <= view.zoom.min() < 0.68
    assert 1.48 < view.zoom.max() <= 1.5
    assert view.zoom.log().mean().abs() < 0.02  # as often smaller as larger
    assert 0.6 * 0.9 <= view.light.min() < 0.65
    assert 1.35 < view.light.max() <= 1.4 * 1.1


def test_light_multiplies_each_colour_and_ends_at_white() -> None:
    images = torch.full((1, 2, 2, 3), 100, dtype=torch.uint8)
    lit = apply_view(images, torch.tensor([0]), View(None, None, None, light=torch.tensor([[0.5, 1.2, 3.0]])))
    assert lit[0, 0, 0].tolist() == [50, 120, 255]


def test_grey_images_are_lit_by_the_mean() -> None:
    images = torch.full((1, 2, 2, 1), 100, dtype=torch.uint8)
    lit = apply_view(images, torch.tensor([0]), View(None, None, None, light=torch.tensor([[0.5, 1.0, 1.5]])))
    assert lit.unique().tolist() == [100]
