"""All that lies in a bundle's folder is compared with the manifest."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hkd_edge_runtime.bundle import open_bundle
from hkd_edge_runtime.errors import BundleError


def check(folder: Path) -> None:
    with open_bundle(folder):
        pass


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _link_elsewhere(path: Path) -> None:
    outside = path.rename(path.parents[2].parent / "outside")
    path.symlink_to(outside)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip_a_bit, "expected SHA-256"),
        (_cut_short, "bytes, got"),
        (Path.unlink, "expected a file, found none"),
        (_link_elsewhere, "expected a file, got a symlink"),
    ],
)
def test_a_damaged_file_is_refused_by_name(bundle: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(bundle / "artefacts/fake-fp32/model.npz")
    with pytest.raises(BundleError) as caught:
        check(bundle)
    assert "artefacts/fake-fp32/model.npz: expected" in str(caught.value)
    assert message in str(caught.value)
    assert "golden.npz" not in str(caught.value)


def test_a_folder_that_is_a_symlink_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "artefacts").rename(tmp_path / "outside")
    (bundle / "artefacts").symlink_to(tmp_path / "outside", target_is_directory=True)
    with pytest.raises(BundleError, match="artefacts: expected a folder, got a symlink"):
        check(bundle)


def test_the_bundle_itself_may_be_reached_by_a_symlink(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle, target_is_directory=True)
    check(tmp_path / "current")


def test_damaged_golden_images_are_refused(bundle: Path) -> None:
    _flip_a_bit(bundle / "golden.npz")
    with pytest.raises(BundleError, match="golden.npz: expected SHA-256"):
        check(bundle)


def test_a_file_that_cannot_be_read_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hkd_edge_runtime.folder.sha256_file", refuse)
    with pytest.raises(BundleError, match=r"cannot be read \(Permission denied\)"):
        check(bundle)


@pytest.mark.parametrize("name", ["notes.txt", ".DS_Store", "artefacts/fake-fp32/model.bin", "extra/deep/file"])
def test_a_file_that_the_manifest_does_not_name_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).touch()
    top = name if "extra" not in name else "extra"
    with pytest.raises(BundleError, match=f"{top}: expected nothing of that name, .* remove it"):
        check(bundle)


def test_a_dangling_symlink_that_the_manifest_does_not_name_is_refused(bundle: Path) -> None:
    (bundle / "link").symlink_to("nowhere")
    with pytest.raises(BundleError, match="link: expected nothing of that name"):
        check(bundle)


def test_a_pipe_in_the_place_of_a_file_is_refused_and_never_read(bundle: Path) -> None:
    (bundle / "golden.npz").unlink()
    os.mkfifo(bundle / "golden.npz")
    with pytest.raises(BundleError, match="golden.npz: expected a file, got something else"):
        check(bundle)


def test_a_folder_in_the_place_of_a_file_and_a_file_in_that_of_a_folder_are_refused(bundle: Path) -> None:
    (bundle / "golden.npz").unlink()
    (bundle / "golden.npz").mkdir()
    (bundle / "artefacts").rename(bundle.parent / "away")
    (bundle / "artefacts").touch()
    with pytest.raises(BundleError) as caught:
        check(bundle)
    assert "golden.npz: expected a file, got something else" in str(caught.value)
    assert "artefacts: expected a folder, got something else" in str(caught.value)


def test_many_problems_are_not_all_told(bundle: Path) -> None:
    for index in range(30):
        (bundle / f"extra{index}").touch()
    with pytest.raises(BundleError, match="; and 20 more. Copy the bundle again"):
        check(bundle)


def test_a_manifest_too_large_to_be_one_is_refused_unread(bundle: Path) -> None:
    os.truncate(bundle / "manifest.json", 1 << 40)
    with pytest.raises(BundleError, match="expected a file of at most 16777216 bytes, got 1099511627776"):
        check(bundle)
