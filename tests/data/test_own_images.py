"""The user's own images as a data set: splits, groups, duplicates, and all that is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.utils.class_weight import compute_class_weight

from hkd_edge.data.dataset import Dataset, Origin, class_weights
from hkd_edge.data.load import load_data, split_data
from hkd_edge.errors import DataError
from hkd_edge.recipe.data import Data
from tests.data.drawn import CLASSES, draw, write_pictures


def settings(**given: Any) -> Data:
    return Data.model_validate({"dataset": "folder", "root": "x", "image_size": 24, **given})


def loaded(root: Path, **given: Any) -> Dataset:
    return load_data(settings(**given), root, lambda *_: None)


def origin_of(dataset: Dataset) -> Origin:
    assert dataset.origin is not None
    return dataset.origin


def sides(root: Path, **given: Any) -> dict[str, str]:
    """The side of each image by its name."""
    dataset = loaded(root, **given)
    split, names = split_data(dataset, settings(**given)), origin_of(dataset).train_names
    found = dict.fromkeys(origin_of(dataset).test_names, "test")
    found |= {names[index]: "train" for index in split.train}
    return found | {names[index]: "validation" for index in split.validation}


def test_a_folder_is_split_by_class_and_every_image_is_on_one_side(photos: Path) -> None:
    dataset = loaded(photos, test_fraction=0.25, validation_fraction=0.2)
    split = split_data(dataset, settings(validation_fraction=0.2))
    assert dataset.classes == CLASSES
    assert np.bincount(dataset.test.labels).tolist() == [2] * 4
    assert np.bincount(dataset.train.labels[split.validation]).tolist() == [1] * 4
    assert (len(dataset.train), dataset.train.images.shape[1:]) == (24, (24, 24, 3))
    names = {*origin_of(dataset).train_names, *origin_of(dataset).test_names}
    assert len(names) == 32


def test_images_and_labels_belong_to_their_names(photos: Path) -> None:
    from hkd_edge.data.fit import input_spec
    from hkd_edge_runtime.preprocess import read_image

    dataset = loaded(photos)
    for part, names in (
        (dataset.train, origin_of(dataset).train_names),
        (dataset.test, origin_of(dataset).test_names),
    ):
        for image, label, name in zip(part.images, part.labels, names, strict=True):
            assert np.array_equal(image, read_image(photos / name, input_spec((24, 24, 3))))
            assert dataset.classes[label] == Path(name).parent.name


def test_another_seed_is_another_split_and_the_same_seed_the_same(photos: Path) -> None:
    assert sides(photos) == sides(photos)
    assert sides(photos) != sides(photos, split_seed=1)


def test_the_fingerprint_is_of_contents_and_sides_and_not_of_places(photos: Path, tmp_path: Path) -> None:
    before = loaded(photos).fingerprint
    assert loaded(shutil.copytree(photos, tmp_path / "elsewhere")).fingerprint == before
    assert loaded(photos, split_seed=1).fingerprint != before
    draw("ball", 99).save(photos / "round/ball/0000.jpg")
    assert loaded(photos).fingerprint != before


def test_split_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    for start, name in enumerate(("train", "val", "test")):
        write_pictures(tmp_path / "root" / name, 3, start=10 * start, nested=False)
    found = sides(tmp_path / "root")
    assert {name.split("/")[0]: side for name, side in found.items()} == {
        "train": "train",
        "val": "validation",
        "test": "test",
    }
    assert len(found) == 36


def test_a_test_folder_alone_leaves_validation_to_be_held_out(tmp_path: Path) -> None:
    write_pictures(tmp_path / "root" / "train", 6)
    write_pictures(tmp_path / "root" / "test", 2, start=50)
    found = list(sides(tmp_path / "root").values())
    assert (found.count("train"), found.count("validation"), found.count("test")) == (20, 4, 8)


def test_groups_by_file_name_stay_on_one_side(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for label in CLASSES[:2]:
        (root / label).mkdir(parents=True)
        for thing in range(5):
            for shot in range(4):
                draw(label, 10 * thing + shot).save(root / label / f"{label}{thing}_{shot}.png")
    found = sides(root, group_by="^(.+)_[0-9]+")
    by_thing: dict[str, set[str]] = {}
    for name, side in found.items():
        by_thing.setdefault(name.rpartition("_")[0], set()).add(side)
    assert {len(of_one) for of_one in by_thing.values()} == {1}
    assert set(found.values()) == {"train", "validation", "test"}


def test_copies_stay_on_one_side(photos: Path) -> None:
    for number in range(8):
        one = photos / "round/ball" / f"{number:04}.jpg"
        shutil.copy(one, one.with_name(f"copy{number}.jpg"))
        with Image.open(photos / "round/ring" / f"{number:04}.jpg") as ring:
            ring.resize((64, 48)).save(photos / "round/ring" / f"small{number}.png")
    for seed in range(3):
        found = sides(photos, split_seed=seed, test_fraction=0.4)
        for number in range(8):
            assert found[f"round/ball/copy{number}.jpg"] == found[f"round/ball/{number:04}.jpg"]
            assert found[f"round/ring/small{number}.png"] == found[f"round/ring/{number:04}.jpg"]
    parted = [sides(photos, split_seed=seed, group_near_duplicates=False) for seed in range(3)]
    assert any(
        found[f"round/ring/small{n}.png"] != found[f"round/ring/{n:04}.jpg"] for found in parted for n in range(8)
    )


def test_copies_across_given_splits_are_a_warning_with_figures(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for start, name in enumerate(("train", "test")):
        write_pictures(root / name, 5, start=10 * start, nested=False)
    shutil.copy(root / "train/ball/0000.jpg", root / "test/ball/copy.jpg")
    with Image.open(root / "train/box/0001.jpg") as box:
        box.resize((48, 36)).save(root / "test/box/small.png")
    dataset = loaded(root)
    findings = origin_of(dataset).findings
    assert (findings.leaked_exact, findings.leaked_near, len(findings.across_splits)) == (1, 1, 2)
    (warning,) = [note for note in origin_of(dataset).notes if "more than one split" in note]
    assert "1 exact and 1 near duplicates in the test (9.1 % of it) flatter its accuracy" in warning
    assert "test/ball/copy.jpg = train/ball/0000.jpg" in warning


def test_one_picture_under_two_labels_is_shown(photos: Path) -> None:
    shutil.copy(photos / "round/ball/0000.jpg", photos / "cornered/box/ball.jpg")
    notes = origin_of(loaded(photos)).notes
    assert any("cornered/box/ball.jpg = round/ball/0000.jpg (ball, box)" in note for note in notes)


def test_unreadable_images_within_the_limit_are_left_out_and_told(photos: Path) -> None:
    (photos / "round/ball/bad.jpg").write_text("no picture")
    dataset = loaded(photos, max_unreadable=0.04)
    assert len(dataset.train) + len(dataset.test) == 32
    assert any("1 unreadable images are left out: round/ball/bad.jpg (" in note for note in origin_of(dataset).notes)


def test_unreadable_images_beyond_the_limit_are_all_listed(photos: Path) -> None:
    for number in range(3):
        (photos / "round/ball" / f"bad{number}.jpg").write_text("no picture")
    with pytest.raises(DataError) as caught:
        loaded(photos)
    told = str(caught.value)
    assert "expected at most 1 % of 35 images to be unreadable, got 3 unreadable ones:" in told
    assert told.count("cannot identify its format") == 3
    assert "allow more by data.max_unreadable" in told


def test_a_class_of_which_nothing_can_be_read_is_named(photos: Path) -> None:
    (photos / "round/disc").mkdir()
    (photos / "round/disc/1.jpg").write_text("no picture")
    with pytest.raises(DataError, match="expected a readable image of every class \\(none of 'disc' is\\)"):
        loaded(photos, max_unreadable=0.5)


def test_all_classes_with_too_few_images_are_named_with_their_numbers(photos: Path) -> None:
    for label, kept in (("box", 1), ("wedge", 2)):
        for file in sorted((photos / "cornered" / label).iterdir())[kept:]:
            file.unlink()
    with pytest.raises(DataError) as caught:
        loaded(photos)
    told = str(caught.value)
    assert "expected at least 3 groups of images of every class to split, got fewer of 2 classes" in told
    assert "\n  'box': 1 of 1 images\n  'wedge': 2 of 2 images\n" in told


def test_a_class_that_is_one_picture_again_and_again_is_told_as_one_group(photos: Path) -> None:
    first, *others = sorted((photos / "cornered/box").iterdir())
    for other in others:
        shutil.copy(first, other)
    with pytest.raises(DataError, match=r"'box': 1 of 8 images\nDuplicates are one group"):
        loaded(photos)


def test_a_class_that_a_given_split_lacks_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path / "root" / "train", 4)
    write_pictures(tmp_path / "root" / "test", 2, start=9)
    shutil.rmtree(tmp_path / "root" / "test/round/ring")
    with pytest.raises(DataError, match="expected images of every class in test, got none of 'ring'"):
        loaded(tmp_path / "root")


def test_one_class_is_none_to_choose_from(tmp_path: Path) -> None:
    write_pictures(tmp_path / "root", 5)
    shutil.rmtree(tmp_path / "root/round/ring")
    with pytest.raises(DataError, match="expected at least 2 classes, got 1: ball"):
        loaded(tmp_path / "root/round")


def test_a_list_is_loaded_as_a_folder_is(photos: Path, tmp_path: Path) -> None:
    rows = [
        f"{file.relative_to(tmp_path)},{file.parent.name},{file.parent.parent.name}" for file in photos.rglob("*.jpg")
    ]
    (tmp_path / "list.csv").write_text("path,class,kind\n" + "\n".join(rows))
    dataset = loaded(tmp_path / "list.csv", dataset="list")
    assert len(dataset.train) + len(dataset.test) == 32
    assert origin_of(dataset).hierarchy.to_dict()["axes"] == {
        "kind": {"cornered": ["box", "wedge"], "round": ["ball", "ring"]}
    }
    assert dataset.source == "list list.csv"


def test_grey_folders_have_one_channel_and_colour_can_be_asked_for(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "grey" / label).mkdir(parents=True)
        for seed in range(4):
            draw("ball" if label == "a" else "box", seed).convert("L").save(tmp_path / "grey" / label / f"{seed}.png")
    assert loaded(tmp_path / "grey").train.images.shape[1:] == (24, 24, 1)
    assert loaded(tmp_path / "grey", color="rgb").train.images.shape[1:] == (24, 24, 3)
    assert loaded(tmp_path / "grey", image_size=[20, 32]).train.images.shape[1:] == (20, 32, 1)


def test_class_weights_are_scikit_learns() -> None:
    labels = np.repeat([0, 1, 2], (50, 7, 1))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert np.allclose(class_weights(labels, 3), expected)
    assert class_weights(np.array([0, 0]), 2).tolist() == [0.5, 0.0]


def test_rare_classes_weigh_more_in_training_when_the_recipe_says_so(photos: Path) -> None:
    import torch

    from hkd_edge.data.resident import ResidentData
    from hkd_edge.recipe.schema import Augment

    dataset = loaded(photos)
    split = split_data(dataset, settings())
    few = replace(split, train=split.train[4:])
    how = (dataset, few, Augment(), 0, torch.device("cpu"))
    assert ResidentData(*how).class_weights is None
    weights = ResidentData(*how, balance="weights").class_weights
    assert weights is not None
    assert torch.allclose(weights, torch.from_numpy(class_weights(dataset.train.labels[few.train], 4)))
    assert weights.max() > weights.min()
