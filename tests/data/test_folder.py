"""Folders of images: what is a class, a concept, a split; and what is refused, with all of it at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hkd_edge.data.folder import list_folder
from hkd_edge.data.listing import hierarchy_of
from hkd_edge.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def told(root: Path) -> list[tuple[str, str, str | None]]:
    return [(entry.name, entry.label, entry.split) for entry in list_folder(root).entries]


def test_the_folder_of_an_image_is_its_class_and_the_order_is_that_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.PNG", "b/1.jpg", "a/z.webp")
    assert told(tmp_path) == [("a/z.webp", "a", None), ("b/1.jpg", "b", None), ("b/2.PNG", "b", None)]


def test_folders_above_the_class_are_an_axis_for_each_level_silent_where_there_is_none(tmp_path: Path) -> None:
    touch(tmp_path, "animals/pets/cat/1.jpg", "animals/wild/fox/1.jpg", "things/cup/1.jpg", "rock/1.jpg")
    listing = list_folder(tmp_path)
    hierarchy = hierarchy_of(listing, ("cat", "cup", "fox", "rock"))
    assert hierarchy.to_dict()["axes"] == {
        "level_1": {"animals": ["cat", "fox"], "things": ["cup"]},
        "level_2": {"pets": ["cat"], "wild": ["fox"]},
    }


def test_a_level_with_one_concept_tells_nothing_and_is_no_axis(tmp_path: Path) -> None:
    touch(tmp_path, "photos/cat/1.jpg", "photos/fox/1.jpg")
    assert hierarchy_of(list_folder(tmp_path), ("cat", "fox")).axes == ()


@pytest.mark.parametrize(("train", "val", "test"), [("train", "val", "test"), ("Training", "validation", "TESTING")])
def test_split_folders_at_the_top_are_no_concepts(tmp_path: Path, train: str, val: str, test: str) -> None:
    touch(tmp_path, f"{train}/k/a/1.jpg", f"{val}/k/a/2.jpg", f"{test}/k/a/3.jpg")
    assert {(label, split) for _, label, split in told(tmp_path)} == {
        ("a", "train"),
        ("a", "validation"),
        ("a", "test"),
    }
    assert list_folder(tmp_path).axes == ("level_1",)


def test_a_class_called_test_is_a_class_where_no_split_is_called_train(tmp_path: Path) -> None:
    touch(tmp_path, "test/1.jpg", "rest/1.jpg")
    assert [label for _, label, _ in told(tmp_path)] == ["rest", "test"]


def test_splits_beside_classes_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "test/a/1.jpg", "more/1.jpg")
    with pytest.raises(DataError, match="expected only splits beside test, train, got more"):
        list_folder(tmp_path)


def test_names_are_any_that_can_be_printed_in_one_form_of_unicode(tmp_path: Path) -> None:
    touch(tmp_path, "train/caf\u00e9 & co, 50 % [x]/1.jpg", "test/cafe\u0301 & co, 50 % [x]/1.jpg")
    assert {entry.label for entry in list_folder(tmp_path).entries} == {"café & co, 50 % [x]"}


def test_names_that_cannot_be_printed_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "a\x1b[2J/1.jpg", "b/1.jpg")
    touch(tmp_path, os.fsdecode(b"c\xff/1.jpg"))
    with pytest.raises(DataError, match=r"got 2 that are not:\n  'a\\x1b\[2J'\n  'c\\udcff'\nRename them"):
        list_folder(tmp_path)


def test_other_and_hidden_files_are_passed_over_and_the_visible_ones_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/notes.TXT", "readme", ".DS_Store", "a/.2.jpg", ".git/x.jpg", "__MACOSX/a/1.jpg")
    listing = list_folder(tmp_path)
    assert ([entry.name for entry in listing.entries], listing.ignored) == (["a/1.jpg"], {".txt": 1, "(none)": 1})


def test_images_without_a_class_are_all_listed(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "1.jpg", "2.jpg")
    with pytest.raises(DataError, match=r"every image in the folder of its class, got 2 that are not:\n  1\.jpg\n  2"):
        list_folder(tmp_path)


def test_a_folder_of_images_and_of_folders_of_images_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/b/1.jpg", "c/1.jpg")
    with pytest.raises(DataError, match=r"either images or folders of images, got 1 that are not:\n  a\n"):
        list_folder(tmp_path)


def test_a_class_in_two_concepts_is_told_with_both_places(tmp_path: Path) -> None:
    touch(tmp_path, "x/other/1.jpg", "y/other/1.jpg", "y/cup/1.jpg")
    with pytest.raises(
        DataError, match=r"class 'other' is in 'x' \(x/other/1\.jpg\) and 'y' \(y/other/1\.jpg\) of level_1"
    ):
        hierarchy_of(list_folder(tmp_path), ("cup", "other"))


def test_images_below_unlabelled_are_of_the_concepts_above_it_and_of_no_class(tmp_path: Path) -> None:
    touch(tmp_path, "a/x/cat/1.jpg", "b/y/fox/1.jpg", "a/_unlabelled/1.jpg", "a/x/_UNLABELED/cam 1/sub/2.jpg")
    listing = list_folder(tmp_path)
    found = {entry.name: (entry.label, dict(entry.concepts)) for entry in listing.entries}
    assert found["a/_unlabelled/1.jpg"] == (None, {"level_1": "a"})
    assert found["a/x/_UNLABELED/cam 1/sub/2.jpg"] == (None, {"level_1": "a", "level_2": "x"})
    assert listing.axes == ("level_1", "level_2")
    assert hierarchy_of(listing, ("cat", "fox")).to_dict()["axes"]["level_2"] == {"x": ["cat"], "y": ["fox"]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "_unlabelled/1.jpg",
            r"concept/_unlabelled/image\.jpg\), got 1 that are not:\n  _unlabelled/1\.jpg\nWithout a",
        ),
        ("a/cat/_unlabelled/1.jpg", r"either images or folders of images, got 1 that are not:\n  a/cat\n"),
    ],
)
def test_images_without_a_class_need_a_concept_that_is_no_class(tmp_path: Path, name: str, message: str) -> None:
    touch(tmp_path, "a/cat/1.jpg", "b/fox/1.jpg", name)
    with pytest.raises(DataError, match=message):
        list_folder(tmp_path)


def test_images_without_a_class_are_for_training_alone(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/cat/1.jpg", "test/a/cat/1.jpg", "train/a/_unlabelled/1.jpg", "test/a/_unlabelled/2.jpg")
    with pytest.raises(
        DataError, match=r"those to train on, got 1 that are not:\n  test/a/_unlabelled/2\.jpg\nNo answer"
    ):
        list_folder(tmp_path)
    (tmp_path / "test/a/_unlabelled/2.jpg").unlink()
    assert [entry.split for entry in list_folder(tmp_path).entries if entry.label is None] == ["train"]


def test_links_are_followed_and_loops_do_not_hang(tmp_path: Path) -> None:
    touch(tmp_path / "store", "x.jpg")
    touch(tmp_path / "root", "a/1.jpg", "k/b/1.jpg")
    (tmp_path / "root" / "c").symlink_to(tmp_path / "store")
    (tmp_path / "root" / "k" / "up").symlink_to(tmp_path / "root")
    listing = list_folder(tmp_path / "root")
    assert [entry.name for entry in listing.entries] == ["a/1.jpg", "c/x.jpg", "k/b/1.jpg"]
    assert listing.loops == ("k/up",)


def test_no_folder_and_no_images_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: expected a folder with a subfolder of images for each class"):
        list_folder(tmp_path / "nowhere")
    touch(tmp_path, "a/1.txt", "a/2.txt")
    with pytest.raises(DataError, match=r"expected images in a subfolder for each class, found 2 files \.txt"):
        list_folder(tmp_path)


def test_the_topmost_folders_without_an_image_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "k/b/1.jpg", "k/c/notes.txt", "album/old/Thumbs.db")
    (tmp_path / "k" / "d" / "e").mkdir(parents=True)
    assert list_folder(tmp_path).empty == ("album", "k/c", "k/d")
