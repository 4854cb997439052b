"""`hkd-edge bundle ...` on the bundle of a real run, and the proof that no bit of that bundle can flip unseen."""

from __future__ import annotations

import random
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hkd_edge_runtime import BundleError, load
from hkd_edge_runtime.verify import verify_bundle
from tests.delivery.conftest import files_below

Command = Callable[..., "subprocess.CompletedProcess[str]"]
FLIPS = 1000


@pytest.fixture(autouse=True)
def _no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def signed(digits_run: Path, hkd_edge: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run's bundle, signed, as `bundle` and `bundle.hkd`; the keys are key.pem and key.pub.pem."""
    folder = tmp_path_factory.mktemp("signed")
    shutil.copytree(digits_run / "bundle", folder / "bundle")
    for arguments in (
        ("keygen", folder / "key.pem"),
        ("sign", folder / "bundle", "--key", folder / "key.pem"),
        ("pack", folder / "bundle"),
    ):
        result = hkd_edge("bundle", *arguments)
        assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(params=["bundle", "bundle.hkd"])
def path(request: pytest.FixtureRequest, signed: Path) -> Path:
    return signed / str(request.param)


@contextmanager
def flipped(file: Path, bit: int) -> Iterator[None]:
    """The file with one bit changed, until the block ends."""
    with file.open("r+b", buffering=0) as content:
        content.seek(bit // 8)
        (byte,) = content.read(1)
        content.seek(bit // 8)
        content.write(bytes([byte ^ 1 << bit % 8]))
        try:
            yield
        finally:
            content.seek(bit // 8)
            content.write(bytes([byte]))


def bits_to_flip(files: list[Path], generator: random.Random) -> Iterator[tuple[Path, int]]:
    """Half of them over all bytes alike, half over all files alike, so that small files get their share."""
    sizes_bytes = [file.stat().st_size for file in files]
    for index in range(FLIPS):
        (file,) = generator.choices(files, sizes_bytes if index % 2 else None)
        yield file, generator.randrange(8 * file.stat().st_size)


def test_a_thousand_flipped_bits_are_all_refused(path: Path) -> None:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    load(path, verify=False).close()
    accepted = []
    for file, bit in bits_to_flip(files, random.Random(4)):
        with flipped(file, bit):
            try:
                load(path, verify=False).close()
                accepted.append((file.name, bit))
            except BundleError:
                pass
    assert accepted == []
    load(path, verify=False).close()


def test_flipped_bits_between_the_files_of_the_archive_are_all_refused(signed: Path) -> None:
    """Headers and directory are few of the archive's bytes, so here are flips in them alone."""
    path = signed / "bundle.hkd"
    with zipfile.ZipFile(path) as archive:
        # A local header is 30 bytes and the name; the content follows.
        contents = [(info.header_offset + 30 + len(info.filename), info.file_size) for info in archive.infolist()]
    owned = {place for start, size_bytes in contents for place in range(start, start + size_bytes)}
    structure = [place for place in range(path.stat().st_size) if place not in owned]
    assert 0 < len(structure) < 5000
    generator = random.Random(4)
    for place in generator.choices(structure, k=FLIPS // 4):
        with flipped(path, 8 * place + generator.randrange(8)), pytest.raises(BundleError):
            load(path, verify=False)


def test_the_bundle_is_verified_with_its_key(path: Path, signed: Path, hkd_edge: Command) -> None:
    result = hkd_edge("bundle", "verify", path, "--key", signed / "key.pub.pem")
    assert result.returncode == 0, result.stderr
    assert "(as required)" in result.stdout
    assert "golden images agree" in result.stdout
    assert verify_bundle(path, require_signature=signed / "key.pub.pem").signature_checked


def test_another_key_or_no_signature_is_refused_with_exit_code_10(
    path: Path, signed: Path, digits_run: Path, tmp_path: Path, hkd_edge: Command
) -> None:
    assert hkd_edge("bundle", "keygen", tmp_path / "other.pem").returncode == 0
    for bundle, message in ((path, "expected a signature by the key"), (digits_run / "bundle", "got none")):
        result = hkd_edge("bundle", "verify", bundle, "--key", tmp_path / "other.pub.pem")
        assert result.returncode == 10
        assert result.stderr.startswith("error: ")
        assert message in result.stderr


def test_keys_are_not_overwritten_which_has_exit_code_14(signed: Path, hkd_edge: Command) -> None:
    before = (signed / "key.pem").read_bytes()
    result = hkd_edge("bundle", "keygen", signed / "key.pem")
    assert (result.returncode, (signed / "key.pem").read_bytes()) == (14, before)
    assert "Traceback" not in result.stderr


def test_unpacking_gives_the_folder_back(signed: Path, tmp_path: Path, hkd_edge: Command) -> None:
    result = hkd_edge("bundle", "unpack", signed / "bundle.hkd", "-o", tmp_path / "folder")
    assert result.stdout == f"{tmp_path / 'folder'}\n"
    assert files_below(tmp_path / "folder") == files_below(signed / "bundle")


def test_a_packed_bundle_is_asked_as_a_folder_is(path: Path, tmp_path: Path, hkd_edge: Command) -> None:
    from PIL import Image

    Image.new("L", (8, 8)).save(tmp_path / "black.png")
    result = hkd_edge("predict", path, tmp_path / "black.png", "--top", "3")
    assert result.returncode == 0, result.stderr
    assert "black.png: " in result.stdout


def test_what_is_no_command_of_bundle_is_a_recipe_or_run(digits_run: Path, hkd_edge: Command) -> None:
    result = hkd_edge("bundle", "--resume", digits_run)
    assert result.returncode == 0, result.stderr
    assert "The bundle is in" in result.stdout
    assert "RECIPE|RUN" in hkd_edge("bundle", "make", "--help").stdout
    result = hkd_edge("bundle", "no_such_recipe")
    assert result.returncode == 3
    assert "no_such_recipe" in result.stderr
