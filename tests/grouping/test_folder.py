from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hkd_edge.concepts.suggest import suggest
from hkd_edge.errors import DataError
from hkd_edge.grouping.folder import class_files, hierarchy_of_levels
from hkd_edge.grouping.of_folder import evidence_of_folder, features

_COLOURS = {"sea": (40, 80, 190), "lake": (50, 90, 180), "meadow": (60, 170, 60), "wood": (50, 160, 70)}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def draw(folder: Path, colours: dict[str, tuple[int, int, int]], count: int = 12) -> Path:
    """Noisy pictures of one colour for each class."""
    noise = np.random.default_rng(0)
    for name, colour in colours.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            shade = np.asarray(colour) + noise.normal(0, 12, 3)
            pixels = shade + noise.normal(0, 20, (24, 24, 3))
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / name / f"{index:02}.png")
    return folder


def test_classes_are_the_folders_with_images(tmp_path):
    touch(tmp_path, "a/1.jpg", "a/2.JPG", "a/notes.txt", "b/x/3.png", "empty/readme.md", ".hidden/4.png")
    touch(tmp_path, "a/.5.png", "b/_unlabelled/6.png")
    assert {name: [path.name for path in paths] for name, paths in class_files(tmp_path).items()} == {
        "a": ["1.jpg", "2.JPG"],
        "x": ["3.png"],
    }


def test_of_a_split_folder_the_training_part_is_taken(tmp_path):
    touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/c/4.jpg")
    assert list(class_files(tmp_path)) == ["a", "b"]


def test_two_classes_of_one_name_are_refused(tmp_path):
    touch(tmp_path, "red/apple/1.jpg", "green/apple/2.jpg")
    with pytest.raises(DataError, match=r"red/apple: expected one folder for each class, got .*green/apple too"):
        class_files(tmp_path)


def test_a_folder_without_images_and_none_at_all_are_refused(tmp_path):
    with pytest.raises(DataError, match="found no image in any"):
        class_files(tmp_path)
    with pytest.raises(DataError, match="expected a folder with a subfolder of images for each class, found none"):
        class_files(tmp_path / "nowhere")


def test_folders_within_folders_are_axes(tmp_path):
    touch(tmp_path, "plant/tree/oak/1.jpg", "plant/tree/elm/1.jpg", "plant/rose/1.jpg", "stone/1.jpg")
    hierarchy = hierarchy_of_levels(tmp_path)
    assert hierarchy.to_dict() == {
        "classes": ["rose", "elm", "oak", "stone"],
        "axes": {
            "level_1": {"plant": ["rose", "elm", "oak"]},
            "level_2": {"plant/tree": ["elm", "oak"]},
        },
    }


def test_classes_side_by_side_are_no_hierarchy(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    with pytest.raises(DataError, match="got 2 classes side by side. Group them: hkd-edge concepts suggest"):
        hierarchy_of_levels(tmp_path)


def test_features_tell_edges_and_colours():
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[::4] = stripes[1::4] = 255
    level, upright = features(stripes), features(stripes.transpose(1, 0, 2))
    # The first 128 are edges, 16 cells for each of 8 directions; a stripe's gradient stands across it.
    strongest = [found[:128].reshape(8, 16).sum(axis=1).argmax() for found in (level, upright)]
    assert strongest == [4, 0]
    np.testing.assert_allclose(np.sum(level[-64:] ** 2), 1)  # square roots of shares of colours


def test_what_looks_alike_stands_together(tmp_path):
    evidence = evidence_of_folder(draw(tmp_path / "photos", _COLOURS))
    found = suggest(evidence).axes[0]
    assert {frozenset(group) for group in found.groups} == {frozenset({"lake", "sea"}), frozenset({"meadow", "wood"})}
    assert "48 images of photos that it was not fitted to (5-fold;" in evidence.source
    assert "25.0 % by chance" in evidence.source
    assert evidence.cautions[0].startswith("nothing was trained")


def test_classes_that_look_the_same_are_refused(tmp_path):
    draw(tmp_path / "photos", dict.fromkeys("abc", (90, 90, 90)), count=30)
    with pytest.raises(DataError, match=r"tell apart better than chance \(33\.3 %\), got .* Train first"):
        evidence_of_folder(tmp_path / "photos")


def test_a_few_unreadable_images_are_told_and_left_out(tmp_path):
    folder = draw(tmp_path / "photos", _COLOURS)
    (folder / "sea" / "00.png").write_bytes(b"no picture")
    evidence = evidence_of_folder(folder)
    assert evidence.cautions[-1] == "1 images could not be read: sea/00.png."
    assert "47 images" in evidence.source


def test_many_unreadable_images_are_refused(tmp_path):
    folder = draw(tmp_path / "photos", _COLOURS)
    for path in (folder / "sea").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="got 12 of 48 that cannot: sea/00.png, .* and 7 more. Take them out"):
        evidence_of_folder(folder)


@pytest.mark.parametrize(("classes", "count"), [(["a"], 4), (["a", "b"], 1)])
def test_too_few_classes_or_images_are_refused(tmp_path, classes, count):
    draw(tmp_path / "photos", dict.fromkeys(classes, _COLOURS["sea"]), count)
    with pytest.raises(DataError, match="expected 2 classes or more with at least 2 images that can be read each"):
        evidence_of_folder(tmp_path / "photos")
