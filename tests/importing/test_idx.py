"""idx folders become lists: pairs, splits, colour, names; and every way in which a folder is none."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hkd_edge.cli import cli
from hkd_edge.data.table import list_table
from hkd_edge.errors import DataError
from tests.importing.conftest import ImportImages
from tests.importing.idx_files import noise, write_idx, write_pair


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "list.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Eight training images and four test images of two classes, 6 x 5 pixels."""
    write_pair(tmp_path / "mnist", "train-", noise(8, 6, 5), [0, 1] * 4)
    write_pair(tmp_path / "mnist", "t10k-", noise(4, 6, 5), [1, 0] * 2, "")
    return tmp_path / "mnist"


def test_pairs_become_files_of_the_same_pixels_with_split_and_class(
    mnist: Path, tmp_path: Path, import_images: ImportImages
) -> None:
    result = import_images(mnist)
    assert result.exit_code == 0, result.output
    found = rows(tmp_path / "photos")
    told = [(row["split"], row["class"]) for row in found]
    assert told == [("test", "1"), ("test", "0")] * 2 + [("train", "0"), ("train", "1")] * 4
    assert found[2]["path"] == "images/test/1/000002.png"
    expected = np.concatenate([noise(4, 6, 5), noise(8, 6, 5)])
    np.testing.assert_array_equal([pixels(tmp_path / "photos" / row["path"]) for row in found], expected)


def test_what_was_done_and_the_next_command_are_told(mnist: Path, tmp_path: Path, import_images: ImportImages) -> None:
    assert import_images(mnist).stdout.splitlines() == [
        "images       12 of 2 classes",
        "splits       4 test, 8 train",
        f"list         {tmp_path / 'photos/list.csv'}",
        f"next: hkd-edge init PROJECT --data {tmp_path / 'photos/list.csv'}",
    ]


def test_what_was_imported_passes_data_check(mnist: Path, tmp_path: Path, import_images: ImportImages) -> None:
    import_images(mnist)
    result = CliRunner().invoke(cli, ["data", "check", str(tmp_path / "photos/list.csv"), "--size", "6", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["classes"], told["splits"]) == ({"0": 6, "1": 6}, {"train": 8, "test": 4})
    assert (told["refused"], told["unreadable"]) == (None, {})


def test_names_of_classes_are_exact_in_the_list_and_safe_in_paths(
    mnist: Path, tmp_path: Path, import_images: ImportImages
) -> None:
    (tmp_path / "names.txt").write_text("T-shirt/top\n../Kleid, grün\n", encoding="utf-8")
    assert import_images(mnist, "--classes", tmp_path / "names.txt").exit_code == 0
    listing = list_table(tmp_path / "photos/list.csv")
    assert {entry.label for entry in listing.entries} == {"T-shirt/top", "../Kleid, grün"}
    folders = {folder.name for folder in (tmp_path / "photos/images/train").iterdir()}
    assert folders == {"T-shirt_top", "_Kleid, grün"}
    assert all(entry.path.is_file() for entry in listing.entries)


@pytest.mark.parametrize("channels_first", [False, True])
def test_colour_images_have_four_axes(tmp_path: Path, import_images: ImportImages, channels_first: bool) -> None:
    colours = noise(4, 6, 5, 3)
    stored = np.moveaxis(colours, 3, 1) if channels_first else colours
    write_pair(tmp_path / "idx", "", stored, [0, 1, 0, 1])
    assert import_images(tmp_path / "idx").exit_code == 0
    found = rows(tmp_path / "photos")
    assert {row["split"] for row in found} == {""}
    np.testing.assert_array_equal([pixels(tmp_path / "photos" / row["path"]) for row in found], colours)


def test_sets_of_no_known_split_are_told(mnist: Path, import_images: ImportImages) -> None:
    write_pair(mnist, "extra-", noise(2, 6, 5), [0, 1])
    told = import_images(mnist).stdout
    assert "not read     extra-images-idx3-ubyte.gz: neither training, validation nor test" in told
    assert "images       12 of 2 classes" in told


def test_a_set_without_training_images_is_left_to_the_run_to_split(
    mnist: Path, tmp_path: Path, import_images: ImportImages
) -> None:
    for file in mnist.glob("train-*"):
        file.unlink()
    assert "splits       none, a run makes its own" in import_images(mnist).stdout
    assert {(row["split"], row["path"].split("/")[1]) for row in rows(tmp_path / "photos")} == {("", "0"), ("", "1")}


def without_labels(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte.gz").unlink()


def fewer_images(folder: Path) -> None:
    write_idx(folder / "train-images-idx3-ubyte.gz", noise(7, 6, 5))


def cut_off(folder: Path) -> None:
    file = folder / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])


def five_channels(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte.gz").unlink()
    write_idx(folder / "train-images-idx4-ubyte.gz", noise(8, 6, 5, 5))


def two_sets(folder: Path) -> None:
    write_pair(folder, "letters-train-", noise(2, 6, 5), [0, 1])


def no_split(folder: Path) -> None:
    for file in list(folder.iterdir()):
        file.rename(folder / file.name.replace("train", "one").replace("t10k", "two"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (without_labels, "expected the file train-labels-idx1-ubyte.gz (or without .gz) beside it, got none"),
        (fewer_images, "expected 8 images, one for each label, got shape (7, 6, 5)"),
        (cut_off, "expected 120 bytes of data for shape (4, 6, 5), got 119"),
        (five_channels, "expected 1 or 3 channels on the last or the second axis, got shape (8, 6, 5, 5)"),
        (two_sets, "expected one file of images for the split train, got letters-train-images-idx3-ubyte.gz, train-"),
        (
            no_split,
            "beside which others may be named val, valid, validation, test, testing, t10k, got one-images-",
        ),
    ],
)
def test_a_faulty_folder_is_refused_and_leaves_nothing(
    mnist: Path, tmp_path: Path, import_images: ImportImages, fault, message: str
) -> None:
    fault(mnist)
    result = import_images(mnist)
    assert isinstance(result.exception, DataError)
    assert message in str(result.exception)
    assert [file.name for file in tmp_path.iterdir()] == ["mnist"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n", "expected labels 0 to 0, for which there are names, got 1. Name every class"),
        ("a\na\n", "expected a name of its own for each class, one on each line, got ['a']"),
        ("", "expected a name of its own for each class, one on each line, got an empty file"),
        (None, "expected a text file of class names, got: "),
    ],
)
def test_wrong_names_of_classes_are_refused(
    mnist: Path, tmp_path: Path, import_images: ImportImages, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "names.txt").write_text(text)
    result = import_images(mnist, "--classes", tmp_path / "names.txt")
    assert isinstance(result.exception, DataError)
    assert message in str(result.exception)


def test_a_folder_that_is_there_is_never_touched(mnist: Path, tmp_path: Path, import_images: ImportImages) -> None:
    (tmp_path / "photos").mkdir()
    result = import_images(mnist)
    assert isinstance(result.exception, DataError)
    assert "photos: expected a folder that is not there yet, got one that is" in str(result.exception)
    assert list((tmp_path / "photos").iterdir()) == []


def test_other_folders_and_columns_of_idx_are_refused(mnist: Path, tmp_path: Path, import_images: ImportImages) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else/a.txt").write_text("a")
    for source, arguments, message in (
        (tmp_path / "else", (), "or idx files (train-images-idx3-ubyte.gz and such), got a.txt. Folders of images"),
        (tmp_path / "nowhere", (), "expected a folder, found none"),
        (mnist, ("--label", "label"), "expected columns with Hugging Face's data sets only, got idx"),
    ):
        result = import_images(source, *arguments)
        assert isinstance(result.exception, DataError)
        assert message in str(result.exception)


@pytest.mark.parametrize(("sent", "status", "hidden"), [(signal.SIGKILL, -signal.SIGKILL, 1), (signal.SIGINT, 130, 0)])
def test_an_import_that_is_broken_off_leaves_no_folder(
    tmp_path: Path, sent: signal.Signals, status: int, hidden: int
) -> None:
    write_pair(tmp_path / "idx", "train-", noise(60_000, 6, 5), [0, 1] * 30_000, "")
    words = ["data", "import", str(tmp_path / "idx"), "-o", str(tmp_path / "photos")]
    with subprocess.Popen([sys.executable, "-m", "hkd_edge", *words], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".photos.*/photos/images/train/0/000001.png")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(sent)
    assert process.returncode == status
    assert not (tmp_path / "photos").exists()
    assert len(list(tmp_path.glob(".photos.*"))) == hidden
