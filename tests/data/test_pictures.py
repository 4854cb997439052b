"""Files of every kind become what the board makes of them; what cannot be read is told; the cache is never believed."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hkd_edge.data import memory, picture_cache, pictures
from hkd_edge.data.fit import input_spec
from hkd_edge.data.folder import list_folder
from hkd_edge.data.listing import Listing
from hkd_edge.data.memory import fits_into_memory, free_memory_bytes, refuse_beyond_disk
from hkd_edge.data.picture_cache import cache_folder, decoded
from hkd_edge.data.pictures import Decoded, Room, decode
from hkd_edge.errors import DataError
from hkd_edge_runtime.preprocess import read_image
from tests.data.drawn import draw

SIZE = (24, 32)
NO_FILE = Room(Path("/nowhere/images.npy"))  # all of it fits into memory


def silent(*_: object) -> None:
    """Is told of progress."""


def decoded_of(root: Path, color: str = "auto") -> Decoded:
    return decode(list_folder(root).entries, SIZE, color, silent, NO_FILE)


@pytest.fixture
def kinds(tmp_path: Path) -> Path:
    """One picture saved in every way that a camera, a scanner or a painter saves it."""
    folder, picture = tmp_path / "root" / "a", draw("ball", 0)
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "plain.jpg")
    picture.save(folder / "turned.jpg", exif=exif)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.convert("P").save(folder / "palette.png")
    picture.convert("L").save(folder / "grey.png")
    picture.convert("1").save(folder / "bilevel.tif")
    faded = picture.copy()
    faded.putalpha(100)
    faded.save(folder / "faded.webp", lossless=True)
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(folder / "sixteen.png")
    return tmp_path / "root"


@pytest.mark.parametrize("color", ["rgb", "grey"])
def test_every_kind_of_file_is_to_the_bit_what_the_board_makes_of_it(kinds: Path, color: str) -> None:
    found = decoded_of(kinds, color)
    spec = input_spec((*SIZE, 3 if color == "rgb" else 1))
    files = sorted((kinds / "a").iterdir())
    assert len(found.images) == len(files) == 8
    for image, file in zip(found.images, files, strict=True):
        assert np.array_equal(image, read_image(file, spec)), file.name


def test_files_are_described_as_a_person_sees_them(kinds: Path) -> None:
    names = sorted(file.name for file in (kinds / "a").iterdir())
    told = dict(zip(names, decoded_of(kinds).pictures, strict=True))
    assert {name: (p.width, p.height, p.mode, p.turned) for name, p in told.items() if p} == {
        "bilevel.tif": (96, 72, "1", False),
        "cmyk.jpg": (96, 72, "CMYK", False),
        "faded.webp": (96, 72, "RGBA", False),
        "grey.png": (96, 72, "L", False),
        "palette.png": (96, 72, "P", False),
        "plain.jpg": (96, 72, "RGB", False),
        "sixteen.png": (96, 72, "I;16", False),
        "turned.jpg": (72, 96, "RGB", True),
    }


def test_auto_is_grey_only_if_every_image_is(kinds: Path) -> None:
    assert decoded_of(kinds).images.shape == (8, *SIZE, 3)
    for file in (kinds / "a").iterdir():
        if file.name not in ("grey.png", "sixteen.png", "bilevel.tif"):
            file.unlink()
    assert decoded_of(kinds).images.shape == (3, *SIZE, 1)


def test_what_cannot_be_read_is_told_with_its_reason_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    draw("box", 0).save(folder / "0.jpg")
    (folder / "1.jpg").write_bytes((folder / "0.jpg").read_bytes()[:700])
    (folder / "2.png").write_bytes(b"")
    (folder / "3.gif").write_text("<html>")
    (folder / "4.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "5.jpg")
    found = decoded_of(tmp_path)
    assert (len(found.images), [picture is None for picture in found.pictures]) == (1, [False] + [True] * 5)
    assert "image file is truncated" in found.reasons[1]
    assert found.reasons[2:4] == ("the file is empty (0 bytes)", "cannot identify its format")
    assert found.reasons[4:] == ("No such file or directory", "not a regular file")


def test_progress_is_told_of_both_passes(kinds: Path) -> None:
    heard = []
    decode(list_folder(kinds).entries, SIZE, "rgb", lambda *told: heard.append(told), NO_FILE)
    assert heard == [("look at images", 8, 8), ("decode images", 8, 8)]


def test_two_copies_may_take_half_of_what_is_free_or_what_the_recipe_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2 * 10**9)
    assert fits_into_memory(10_000, (128, 128, 3))
    assert not fits_into_memory(10_000, (130, 130, 3))
    assert fits_into_memory(10_000, (224, 224, 3), 3011)
    assert not fits_into_memory(10_000, (224, 224, 3), 3010)


def test_images_beyond_the_disk_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**9))
    refuse_beyond_disk(10_000, (128, 128, 3), tmp_path)
    with pytest.raises(DataError) as caught:
        refuse_beyond_disk(10_000, (224, 224, 3), tmp_path)
    assert "expected 10,000 images of 224 x 224 x 3, which do not fit into memory, to fit into" in str(caught.value)
    assert "1.5 GB, got 1.0 GB free. Make image_size smaller (about 182 would do)" in str(caught.value)


def test_free_memory_is_more_than_this_test_needs_and_less_than_no_limit() -> None:
    assert 10**7 < free_memory_bytes() < 1 << 50


def test_a_control_groups_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert memory._of_control_group(tmp_path) == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_control_group(tmp_path) > 1 << 60
    assert memory._of_control_group(tmp_path / "nowhere") > 1 << 60


@pytest.fixture
def listing(photos: Path) -> Listing:
    return list_folder(photos)


def made(listing: Listing) -> str:
    return decoded(listing, SIZE, "auto", silent)[2]


def test_the_second_time_images_come_from_the_cache_unchanged(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, pairs, how = decoded(listing, SIZE, "auto", silent)
    monkeypatch.setattr(picture_cache, "decode", None)
    again, same_pairs, from_cache = decoded(listing, SIZE, "auto", silent)
    assert (how, from_cache) == ("decoded now", "from the cache")
    assert isinstance(again.images, np.memmap)
    assert np.array_equal(first.images, again.images)
    assert (first.pictures, first.reasons, pairs.tolist()) == (again.pictures, again.reasons, same_pairs.tolist())


def test_a_changed_file_is_decoded_again_though_its_size_and_mtime_are_the_same(listing: Listing) -> None:
    made(listing)
    file = listing.entries[0].path
    before, content = file.stat(), bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert made(listing) == "decoded now"


def test_one_source_and_size_is_kept_once(listing: Listing) -> None:
    made(listing)
    listing.entries[0].path.touch()
    made(listing)
    assert sorted(file.suffix for file in cache_folder().rglob("*") if file.is_file()) == [".json", ".npy"]


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_damaged_cache_is_not_believed(listing: Listing, suffix: str) -> None:
    made(listing)
    (file,) = cache_folder().rglob(f"*{suffix}")
    content = bytearray(file.read_bytes())
    content[-30] ^= 1
    file.write_bytes(content[:-1] if suffix == ".json" else content)
    assert made(listing) == "decoded now"
    assert made(listing) == "from the cache"


def test_a_cache_that_cannot_be_written_is_told(listing: Listing, own_cache: Path) -> None:
    (own_cache / "hkd-edge").write_text("a file in the way")
    assert "decoded now; they could not be kept for the next time: " in made(listing)


def test_ctrl_c_ends_decoding_soon(listing: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_AT_ONCE", 1)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(listing.entries, SIZE, "rgb", stop, NO_FILE)
