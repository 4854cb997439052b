"""Duplicates: copies are found however they were saved, and different pictures are not taken for copies."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hkd_edge.data.duplicates import components, exact_pairs, members_of, near_pairs
from hkd_edge.data.pictures import digest_of


def crops(count: int) -> list[Image.Image]:
    """Different crops of the two photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_images

    generator = np.random.default_rng(0)
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    cut = []
    for index in range(count):
        side = int(generator.integers(80, 300))
        left, top = int(generator.integers(0, 640 - side)), int(generator.integers(0, 427 - side))
        cut.append(photographs[index % 2].crop((left, top, left + side, top + side)))
    return cut


def saved(picture: Image.Image, quality: int) -> Image.Image:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return Image.open(content).convert("RGB")


def found(*pictures: Image.Image, side: int = 64) -> set[tuple[int, int]]:
    images = np.stack(
        [np.asarray(one.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)) for one in pictures]
    )
    return {(int(a), int(b)) for a, b in near_pairs(images, [digest_of(image) for image in images])}


@pytest.mark.parametrize("side", [32, 64, 96])
def test_pictures_saved_again_are_found_and_no_others(side: int) -> None:
    originals = crops(40)
    copies = [saved(one.resize((one.width * 2 // 3, one.height * 2 // 3)), 80) for one in originals]
    pairs = found(*originals, *copies, side=side)
    expected = {(index, index + 40) for index in range(40)}
    assert pairs <= expected
    assert len(pairs) >= 36


def test_a_new_object_in_the_same_scene_is_another_picture() -> None:
    scenes = [one for one in crops(40) if one.width > 120][:10]
    changed = []
    for scene in scenes:
        other, side = scene.copy(), scene.width // 8
        other.paste(
            (250, 20, 20), (scene.width // 2, scene.width // 2, scene.width // 2 + side, scene.width // 2 + side)
        )
        changed.append(other)
    assert found(*scenes, *changed) == set()


def test_the_same_shape_in_another_colour_of_the_same_brightness_is_another_picture() -> None:
    red, green = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64))
    red.paste((200, 0, 0), (10, 10, 40, 50))
    green.paste((0, 102, 0), (10, 10, 40, 50))
    assert abs(red.convert("L").getpixel((20, 20)) - green.convert("L").getpixel((20, 20))) <= 1
    assert found(red, green) == set()


def test_flat_pictures_of_different_brightness_are_not_taken_for_one() -> None:
    assert found(*(Image.new("L", (64, 64), level) for level in (0, 60, 120, 255))) == set()


def test_grey_images_of_one_channel_have_hashes_too() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 24, 1), dtype=np.uint8)
    images[2] = images[0]
    images[2, 0, 0] ^= 1
    assert near_pairs(images, [digest_of(image) for image in images]).tolist() == [[0, 2]]


def test_equal_images_are_exact_duplicates_and_not_near_ones() -> None:
    assert exact_pairs(["a", "b", "a", "c", "b", "a"]).tolist() == [[0, 2], [1, 4], [0, 5]]
    images = np.zeros((3, 8, 8, 3), np.uint8)
    assert near_pairs(images, [digest_of(image) for image in images]).tolist() == []


def test_pairs_that_share_an_image_are_one_group() -> None:
    groups = components(6, np.array([[0, 1], [4, 5]]), np.array([[1, 3]]))
    assert members_of(groups) == [[0, 1, 3], [4, 5]]
    assert members_of(components(3)) == []
