"""Images that do not fit into memory are the same images, and a folder larger than a limit of memory trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hkd_edge.data.dataset import Dataset, ImageSet, Split, pixel_statistics
from hkd_edge.data.folder import list_folder
from hkd_edge.data.picture_cache import cache_folder, decoded
from hkd_edge.data.pictures import Room, decode
from hkd_edge.data.resident import ResidentData
from hkd_edge.data.stored import NewStore, StoredImages
from hkd_edge.evaluate.subject import fingerprint
from hkd_edge.recipe.schema import Augment
from tests.data.drawn import draw

CPU = torch.device("cpu")
SIZE = (64, 64)


def silent(*_: object) -> None:
    """Is told of progress."""


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 6, 5, 3), dtype=np.uint8)


@pytest.fixture
def stored(images: np.ndarray, tmp_path: Path) -> StoredImages:
    np.save(tmp_path / "images.npy", images)
    return StoredImages.open(tmp_path / "images.npy")


def test_stored_images_are_read_by_number_slice_and_array(images: np.ndarray, stored: StoredImages) -> None:
    assert (stored.shape, len(stored)) == (images.shape, 30)
    for index in (3, -1, np.int64(7), slice(5, 20, 2), slice(40, 50), np.array([9, 2, 2]), np.array([], np.int64)):
        assert np.array_equal(stored[index], images[index]), index
    assert np.array_equal(np.asarray(stored), images)
    assert all(np.array_equal(one, other) for one, other in zip(stored, images, strict=True))
    with pytest.raises(IndexError):
        stored[30]


def test_a_choice_of_stored_images_stays_stored(images: np.ndarray, stored: StoredImages) -> None:
    chosen = stored.at(np.array([8, 3, 20])).at(np.array([2, 0]))
    assert isinstance(chosen, StoredImages)
    assert np.array_equal(chosen[:], images[[20, 8]])


def test_a_store_keeps_the_rows_it_is_told_to_in_a_file_of_numpys(images: np.ndarray, tmp_path: Path) -> None:
    store, kept = NewStore(tmp_path / "new.npy", images.shape), [0, 4, 5, 29]
    for row in reversed(range(30)):
        store[row] = images[row]
    store.close(kept)
    assert np.array_equal(np.load(tmp_path / "new.npy"), images[kept])


@pytest.mark.parametrize("content", ["cut", "two axes", "float"])
def test_what_is_no_whole_file_of_images_is_refused(images: np.ndarray, tmp_path: Path, content: str) -> None:
    path = tmp_path / "images.npy"
    np.save(path, {"cut": images, "two axes": images[0, 0], "float": images / 2}[content])
    if content == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="got a file cut short|expected uint8 images"):
        StoredImages.open(path)


def test_statistics_and_fingerprints_are_those_of_the_same_images_in_memory(
    images: np.ndarray, stored: StoredImages
) -> None:
    labels = np.arange(30)
    assert pixel_statistics(stored) == pixel_statistics(images)
    assert fingerprint(ImageSet(stored, labels)) == fingerprint(ImageSet(images, labels))


def test_a_streamed_batch_has_the_bits_of_a_resident_one(images: np.ndarray, stored: StoredImages) -> None:
    labels = np.arange(30) % 3
    split, augment = Split(np.arange(2, 30), np.arange(2)), Augment(flip=True, shift_px=2, erase_fraction=0.1)
    batches = []
    for pixels in (images, stored):
        every = ImageSet(pixels, labels)
        data = ResidentData(Dataset("", ("a", "b", "c"), every, every, "", ""), split, augment, 0, CPU)
        batches.append([data.view_batch(view, torch.tensor([27, 0, 0, 5])) for view in range(3)])
        batches[-1].append(data.normalize(data.validation.images[0:2]))
    assert all(torch.equal(one, other) for one, other in zip(*batches, strict=True))


def write_broken_folder(root: Path) -> None:
    for label in ("ball", "box"):
        (root / label).mkdir(parents=True)
        for number in range(3):
            draw(label, number).save(root / label / f"{number}.jpg")
    (root / "ball" / "1.jpg").write_bytes(b"")


def test_images_beyond_the_limit_are_decoded_into_the_file_without_the_unreadable(tmp_path: Path) -> None:
    write_broken_folder(tmp_path / "root")
    entries = list_folder(tmp_path / "root").entries
    small = decode(entries, SIZE, "rgb", silent, Room(tmp_path / "unused.npy"))
    large = decode(entries, (640, 640), "rgb", silent, Room(tmp_path / "folder" / "images.npy", memory_mb=1))
    assert isinstance(small.images, np.ndarray)
    assert isinstance(large.images, StoredImages)
    assert not (tmp_path / "unused.npy").exists()
    assert len(small.images) == len(large.images) == 5
    assert large.reasons == small.reasons
    resident = decode(entries, (640, 640), "rgb", silent, Room(tmp_path / "unused.npy"))
    assert np.array_equal(large.images[:], resident.images[:])
    assert large.pictures == resident.pictures


def test_the_cache_serves_runs_with_any_limit_of_memory(tmp_path: Path) -> None:
    write_broken_folder(tmp_path)
    listing = list_folder(tmp_path)
    found = [decoded(listing, (640, 640), "rgb", silent, limit) for limit in (1, None, 1)]
    assert [isinstance(each.images, StoredImages) for each, _, _ in found] == [True, False, True]
    assert [made.split(";")[0] for _, _, made in found] == ["decoded now", "from the cache", "from the cache"]
    assert len({each.images[:].tobytes() for each, _, _ in found}) == 1
    assert len(list(cache_folder().rglob("*.npy"))) == 1


def test_a_damaged_file_of_stored_images_is_made_again(tmp_path: Path) -> None:
    write_broken_folder(tmp_path)
    listing = list_folder(tmp_path)
    first = decoded(listing, (640, 640), "rgb", silent, 1)[0].images[:]
    (file,) = cache_folder().rglob("*.npy")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    again, _, made = decoded(listing, (640, 640), "rgb", silent, 1)
    assert made.startswith("decoded now")
    assert np.array_equal(again.images[:], first)


RECIPE = """\
version: 1
name: large
device: cpu
data: {dataset: folder, root: ROOT, image_size: 320, group_near_duplicates: false, memory_mb: LIMIT}
student: {architecture: {kind: plain, stem_width: 4, stem_stride: 2, widths: [8], blocks: [0]}}
distill: {training: {epochs: 1, batch_size: 4, learning_rate: 0.01}}
"""
COUNT = 1400
IMAGES_MB = COUNT * 320 * 320 * 3 / 1e6
MEMORY_MB = 320  # of which imports, batches and the holes of the allocator took 170 to over 220


def write_large_folder(root: Path) -> None:
    """1,400 small files, 430 MB when they are fitted to 320 x 320."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for label in range(2):
        (root / str(label)).mkdir(parents=True)
        for number in range(COUNT // 2):
            pixels = generator.integers(100 * label, 100 * label + 156, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / str(label) / f"{number}.png")


def distil_within_limit(tmp_path: Path, memory_mb: str) -> subprocess.CompletedProcess[str]:
    recipe = tmp_path / "large.yaml"
    recipe.write_text(RECIPE.replace("ROOT", str(tmp_path / "photos")).replace("LIMIT", memory_mb))
    script = str(Path(__file__).with_name("distil_within_limit.py"))
    command = [sys.executable, script, str(recipe), str(tmp_path / f"run-{memory_mb}"), str(MEMORY_MB)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit of a process's data is Linux's")
def test_a_folder_larger_than_the_limit_of_memory_trains(tmp_path: Path) -> None:
    assert IMAGES_MB > 1.3 * MEMORY_MB
    write_large_folder(tmp_path / "photos")
    streamed = distil_within_limit(tmp_path, "null")
    assert streamed.returncode == 0, streamed.stderr
    assert "do not fit into memory and are read from the cache's file" in streamed.stderr
    assert (tmp_path / "run-null" / "student" / "student.pt").is_file()
    held = distil_within_limit(tmp_path, "100000")
    assert held.returncode != 0
    assert "Unable to allocate" in held.stderr or "can't allocate memory" in held.stderr
