from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hkd_edge_runtime.errors import InputError
from hkd_edge_runtime.labelled import find_labelled
from hkd_edge_runtime.manifest import InputSpec

LABELS = ("T-shirt/top", "Coat", "Bag")


def write_image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((5, 4), value, np.uint8)).save(path)


def test_subfolders_are_classes_with_a_slash_written_as_an_underscore(tmp_path: Path) -> None:
    write_image(tmp_path / "T-shirt_top/a.png", 1)
    write_image(tmp_path / "Bag/b.png", 2)
    write_image(tmp_path / "Bag/c.png", 3)
    (tmp_path / "Bag/.hidden").write_text("no image")
    (tmp_path / "notes.txt").write_text("beside the classes")
    found = find_labelled(tmp_path, LABELS)
    assert sorted(zip([path.name for path in found.paths], found.classes, strict=True)) == [
        ("a.png", 0),
        ("b.png", 2),
        ("c.png", 2),
    ]


def test_classes_may_lie_in_folders_of_concepts(tmp_path: Path) -> None:
    write_image(tmp_path / "tops/warm/Coat/a.png", 1)
    write_image(tmp_path / "Bag/b.png", 2)
    write_image(tmp_path / "tops/_unlabelled/c.png", 3)
    found = find_labelled(tmp_path, LABELS)
    assert [(path.name, label) for path, label in zip(found.paths, found.classes, strict=True)] == [
        ("b.png", 2),
        ("a.png", 1),
    ]


def test_images_come_fitted_to_the_model_and_some_at_a_time(tmp_path: Path) -> None:
    for index in range(5):
        write_image(tmp_path / f"Coat/{index}.png", 10 * index)
    batches = list(find_labelled(tmp_path, LABELS).batches(InputSpec(4, 3, 1), 2))
    assert [images.shape for images, _ in batches] == [(2, 4, 3, 1), (2, 4, 3, 1), (1, 4, 3, 1)]
    assert np.concatenate([images for images, _ in batches])[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
    assert np.concatenate([labels for _, labels in batches]).tolist() == [1] * 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "expected a folder with a subfolder of images for each class, found none"),
        ("Bagg", "expected a subfolder named as a class (T-shirt_top, Coat, Bag). Did you mean 'Bag'?"),
        ("Bag", "with images, found no image"),
    ],
)
def test_a_folder_without_classes_is_refused(tmp_path: Path, name: str | None, message: str) -> None:
    if name is not None:
        (tmp_path / "images" / name).mkdir(parents=True)
        if name == "Bagg":
            write_image(tmp_path / "images" / name / "a.png", 1)
    with pytest.raises(InputError) as refused:
        find_labelled(tmp_path / "images", LABELS)
    assert message in str(refused.value)


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "Coat").mkdir()
    (tmp_path / "Coat/a.png").write_text("<html>")
    with pytest.raises(InputError, match=r"a\.png: expected an image file"):
        list(find_labelled(tmp_path, LABELS).batches(InputSpec(4, 3, 1), 2))
