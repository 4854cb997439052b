"""Views are drawn once, are the same for the same seed, and do to an image what they say."""

from __future__ import annotations

import torch

from hkd_edge.data.augment import Normalization, View, apply_view, draw_view, shrink
from hkd_edge.recipe.schema import Augment

EVERYTHING = Augment(flip=True, shift_px=2, erase_fraction=0.1)
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
    for first, second in ((one.flip, two.flip), (one.shift, two.shift), (one.box, two.box)):
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
