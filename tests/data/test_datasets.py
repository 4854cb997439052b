"""Data sets from real files; damaged, missing and foreign files get one clear error each."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from hkd_edge.data import fashion_mnist
from hkd_edge.data.dataset import class_balanced, pixel_statistics, stratified_split
from hkd_edge.data.idx import read_idx
from hkd_edge.data.load import load_dataset
from hkd_edge.errors import DataError


def write_idx(path: Path, array: np.ndarray, code: int = 0x08) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.gz"
    write_idx(path, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    return path


def test_idx_gives_back_what_was_written(images: Path) -> None:
    assert read_idx(images, 3)[1, 2, 3] == 23


def test_plain_idx_is_read_too(images: Path) -> None:
    plain = images.with_name("images")
    plain.write_bytes(gzip.decompress(images.read_bytes()))
    assert read_idx(plain, 3).shape == (2, 3, 4)


def test_a_truncated_gzip_file_is_one_clear_error(images: Path) -> None:
    images.write_bytes(images.read_bytes()[:-20])
    with pytest.raises(
        DataError, match=r"images\.gz: expected whole gzip data.*replace it, or delete it if hkd-edge fetched it"
    ):
        read_idx(images, 3)


def test_a_flipped_byte_is_found_by_the_checksum_of_gzip(images: Path) -> None:
    content = bytearray(images.read_bytes())
    content[-6] ^= 0xFF
    images.write_bytes(bytes(content))
    with pytest.raises(DataError, match="CRC check failed"):
        read_idx(images, 3)


def test_truncated_data_inside_whole_gzip_says_how_many_bytes_are_missing(images: Path) -> None:
    images.write_bytes(gzip.compress(gzip.decompress(images.read_bytes())[:-5]))
    with pytest.raises(DataError, match="expected 24 bytes.*got 19"):
        read_idx(images, 3)


def test_an_idx_file_of_another_rank_or_type_is_refused(images: Path) -> None:
    with pytest.raises(DataError, match="uint8 with 1 axes, got type code 0x08 with 3"):
        read_idx(images, 1)


def test_a_file_that_is_no_idx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="expected an idx file, got b'<htm'"):
        read_idx(tmp_path / "page", 3)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root.*expected a folder.*nowhere"):
        load_dataset("fashion_mnist", tmp_path / "nowhere", download=True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected the file train-images-idx3-ubyte\.gz"):
        load_dataset("fashion_mnist", tmp_path, download=True)


def test_another_data_set_under_the_same_names_is_refused(tmp_path: Path) -> None:
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", np.zeros((5, 28, 28), np.uint8))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.zeros(5, np.uint8))
    with pytest.raises(DataError, match=r"expected 60000 images of 28 x 28.*got images \(5, 28, 28\)"):
        load_dataset("fashion_mnist", tmp_path, download=True)


def test_without_a_source_and_without_leave_to_download_all_ways_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "PACKAGE_FOLDER", Path("nowhere"))
    with pytest.raises(DataError, match=r"data\.download is false. Name the folder, install the package"):
        fashion_mnist.load(None, download=False)


def test_a_fetch_that_fails_everywhere_names_each_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(cache: Path) -> tuple[Path, str]:
        raise DataError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "PACKAGE_FOLDER", Path("nowhere"))
    monkeypatch.setattr(fashion_mnist, "_fetch_by_torchvision", unreachable)
    with pytest.raises(DataError, match=r"no apt-get on this machine; no network.*--set data\.root=FOLDER"):
        fashion_mnist.load(None, download=True)


def test_digits_are_1797_images_in_two_parts_without_overlap() -> None:
    digits = load_dataset("digits", None, download=False)
    assert len(digits.train) + len(digits.test) == 1797
    assert digits.train.images.shape[1:] == (8, 8, 1)
    assert digits.train.images.max() == 255
    assert np.bincount(digits.test.labels).min() >= 43


def test_digits_refuse_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="digits come with scikit-learn"):
        load_dataset("digits", tmp_path, download=False)


def test_a_split_is_stratified_seeded_and_without_overlap() -> None:
    labels = np.repeat(np.arange(4), (100, 50, 20, 3))
    split = stratified_split(labels, 0.1, seed=1)
    assert np.bincount(labels[split.validation]).tolist() == [10, 5, 2, 1]
    assert np.array_equal(np.sort(np.concatenate([split.train, split.validation])), np.arange(173))
    assert np.array_equal(split.validation, stratified_split(labels, 0.1, seed=1).validation)
    assert not np.array_equal(split.validation, stratified_split(labels, 0.1, seed=2).validation)


def test_a_class_with_one_image_cannot_be_split() -> None:
    with pytest.raises(DataError, match="at least 2 training images of every class, got 1 of class 7"):
        stratified_split(np.array([3, 3, 7]), 0.5, seed=0)


def test_balanced_images_take_turns_until_a_class_is_used_up() -> None:
    labels = np.repeat(np.arange(3), (50, 50, 2))
    chosen = class_balanced(labels, 12, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [5, 5, 2]
    assert len(set(chosen.tolist())) == 12


def test_pixel_statistics_agree_with_numpy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    mean, std = pixel_statistics(images)
    assert np.allclose(mean, (images / 255).mean((0, 1, 2)))
    assert np.allclose(std, (images / 255).std((0, 1, 2)))


def test_a_channel_without_variation_can_be_divided_by() -> None:
    assert pixel_statistics(np.zeros((2, 4, 4, 1), np.uint8)) == ((0.0,), (1.0,))
