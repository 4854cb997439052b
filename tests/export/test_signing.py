from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from hkd_edge_export.errors import ExportError
from hkd_edge_export.packing import pack_bundle, unpack_bundle
from hkd_edge_export.signing import sign_bundle, write_keys
from hkd_edge_runtime import BundleError, KeyFileError
from hkd_edge_runtime.bundle import open_bundle
from tests.delivery.conftest import files_below
from tests.export.small_bundle import write_small_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_small_bundle(tmp_path / "bundle")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public key."""
    return tmp_path / "release.pem", write_keys(tmp_path / "release.pem")


def check(path: Path, key: Path | None = None) -> None:
    with open_bundle(path, key):
        pass


def test_the_private_key_is_for_its_owner_alone(keys: tuple[Path, Path]) -> None:
    private, public = keys
    assert private.stat().st_mode & 0o777 == 0o600
    assert public.name == "release.pub.pem"
    assert b"BEGIN PRIVATE KEY" in private.read_bytes()
    assert b"BEGIN PUBLIC KEY" in public.read_bytes()


@pytest.mark.parametrize("taken", ["release.pem", "release.pub.pem"])
def test_a_key_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("a key of old")
    with pytest.raises(KeyFileError, match=f"{taken}: expected to write a new key file, got: a file that stays"):
        write_keys(tmp_path / "release.pem")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(taken, "a key of old")]


def test_a_key_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="expected to write a new key file, got: No such file or directory"):
        write_keys(tmp_path / "nowhere" / "release.pem")


def test_two_keys_are_never_the_same(tmp_path: Path) -> None:
    assert write_keys(tmp_path / "a.pem").read_bytes() != write_keys(tmp_path / "b.pem").read_bytes()


def test_a_signed_folder_is_taken_by_its_key_alone(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    signature = sign_bundle(bundle, keys[0])
    check(bundle, keys[1])
    assert files_below(bundle) == {"manifest.json", "manifest.sig", "artefacts/fake-fp32/model", "golden.npz"}
    with pytest.raises(BundleError, match=f"got one by {signature.public_key[:16]}"):
        check(bundle, write_keys(tmp_path / "other.pem"))


def test_a_signed_file_is_that_of_the_signed_folder(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    packed = pack_bundle(bundle)
    sign_bundle(packed, keys[0])
    check(packed, keys[1])
    sign_bundle(bundle, keys[0])
    # Ed25519 has no randomness, so the same key gives the same bytes.
    assert pack_bundle(bundle, tmp_path / "other.hkd").read_bytes() == packed.read_bytes()


def test_signing_again_needs_to_be_asked_for(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    sign_bundle(bundle, keys[0])
    other = write_keys(tmp_path / "other.pem")
    for path in (bundle, pack_bundle(bundle)):
        with pytest.raises(ExportError, match="expected a bundle that is not signed yet, .* by --overwrite"):
            sign_bundle(path, tmp_path / "other.pem")
        check(path, keys[1])
        sign_bundle(path, tmp_path / "other.pem", overwrite=True)
        check(path, other)


def test_a_damaged_bundle_is_not_signed(bundle: Path, keys: tuple[Path, Path]) -> None:
    (bundle / "golden.npz").write_bytes(b"damaged")
    with pytest.raises(BundleError, match="golden.npz: expected"):
        sign_bundle(bundle, keys[0])
    assert not (bundle / "manifest.sig").exists()


def _encrypted(folder: Path) -> bytes:
    key = serialization.load_pem_private_key((folder / "release.pem").read_bytes(), None)
    password = serialization.BestAvailableEncryption(b"secret")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, password)


def _elliptic(folder: Path) -> bytes:
    form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return generate_private_key(SECP256R1()).private_bytes(serialization.Encoding.PEM, form, bare)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: (folder / "release.pub.pem").read_bytes(), "got a public key"),
        (_encrypted, "got an encrypted one"),
        (_elliptic, "got a key of another kind"),
        (lambda folder: b"", "got something else"),
    ],
)
def test_a_key_of_another_kind_is_refused(
    bundle: Path, keys: tuple[Path, Path], tmp_path: Path, make: Callable[[Path], bytes], message: str
) -> None:
    (tmp_path / "key.pem").write_bytes(make(tmp_path))
    with pytest.raises(KeyFileError, match=f"expected an Ed25519 private key in PEM without a password, {message}"):
        sign_bundle(bundle, tmp_path / "key.pem")
    with pytest.raises(KeyFileError, match="expected a key file"):
        sign_bundle(bundle, tmp_path / "nowhere.pem")


def test_openssl_finds_the_signature_valid(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "raw.sig").write_bytes(bytes.fromhex(sign_bundle(bundle, keys[0]).signature))
    manifest = str(bundle / "manifest.json")
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin", "-in", manifest]
    done = subprocess.run(
        [*command, "-sigfile", str(tmp_path / "raw.sig")], capture_output=True, text=True, check=False
    )
    assert "Signature Verified Successfully" in done.stdout + done.stderr


def test_packing_and_unpacking_gives_the_same_files(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    sign_bundle(bundle, keys[0])
    packed = pack_bundle(bundle)
    assert packed == bundle.with_suffix(".hkd")
    folder = unpack_bundle(packed, tmp_path / "again")
    assert files_below(folder) == files_below(bundle)
    assert all((folder / name).read_bytes() == (bundle / name).read_bytes() for name in files_below(bundle))
    check(folder, keys[1])
    shutil.rmtree(bundle)
    assert unpack_bundle(packed) == bundle


def test_packing_twice_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    os.utime(bundle / "golden.npz", (1, 1))
    first = pack_bundle(bundle, tmp_path / "first.hkd").read_bytes()
    (bundle / "golden.npz").chmod(0o600)
    assert pack_bundle(bundle, tmp_path / "second.hkd").read_bytes() == first


def test_what_is_there_is_not_packed_or_unpacked_over(bundle: Path, tmp_path: Path) -> None:
    packed = pack_bundle(bundle)
    for work in (lambda: pack_bundle(bundle), lambda: unpack_bundle(packed), lambda: pack_bundle(bundle, tmp_path)):
        with pytest.raises(ExportError, match="expected a path where nothing is yet, got one that stays"):
            work()


def test_only_folders_are_packed_and_only_files_unpacked(bundle: Path, tmp_path: Path) -> None:
    packed = pack_bundle(bundle)
    with pytest.raises(ExportError, match="expected a bundle's folder, got a file"):
        pack_bundle(packed, tmp_path / "x")
    with pytest.raises(ExportError, match="expected an .hkd file, got a folder"):
        unpack_bundle(bundle, tmp_path / "x")


def test_a_damaged_bundle_is_neither_packed_nor_unpacked(bundle: Path, tmp_path: Path) -> None:
    packed = pack_bundle(bundle)
    packed.write_bytes(packed.read_bytes()[:-1])
    (bundle / "golden.npz").write_bytes(b"damaged")
    before = files_below(tmp_path)
    with pytest.raises(BundleError):
        pack_bundle(bundle, tmp_path / "x.hkd")
    with pytest.raises(BundleError):
        unpack_bundle(packed, tmp_path / "x")
    assert files_below(tmp_path) == before
