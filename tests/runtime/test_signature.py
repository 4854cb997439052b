"""Signatures as the board checks them; how they are made is tested in tests/export/test_signing.py."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hkd_edge_runtime import BundleError, KeyFileError, MissingBackendError, load
from hkd_edge_runtime.__main__ import main
from hkd_edge_runtime.archive import write_archive
from hkd_edge_runtime.bundle import open_bundle
from hkd_edge_runtime.manifest import read_manifest, write_manifest
from hkd_edge_runtime.seal import SEAL, parse_strictly, sealed
from hkd_edge_runtime.signature import Signature, parse_signature, read_public_key, signature_content
from hkd_edge_runtime.verify import verify_bundle

ed25519: Any = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
serialization: Any = pytest.importorskip("cryptography.hazmat.primitives.serialization")

# RFC 8032, section 7.1, test 3.
RFC_SECRET = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
RFC_PUBLIC = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"


def pem(key: Any) -> bytes:
    return bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def sign(folder: Path, key: Any) -> Signature:
    content = (folder / "manifest.json").read_bytes()
    signature = Signature(
        key.public_key().public_bytes_raw().hex(), key.sign(content).hex(), hashlib.sha256(content).hexdigest()
    )
    (folder / "manifest.sig").write_bytes(signature_content(signature))
    return signature


def pack(folder: Path) -> Path:
    names = ["manifest.json", "manifest.sig", *(entry.path for entry in read_manifest(folder).files())]
    path = folder.with_suffix(".hkd")
    write_archive(path, [(name, (folder / name).read_bytes()) for name in names if (folder / name).exists()])
    return path


@pytest.fixture(scope="module")
def key() -> Any:
    return ed25519.Ed25519PrivateKey.from_private_bytes(RFC_SECRET)


@pytest.fixture(scope="module")
def other_key() -> Any:
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def public(key: Any, tmp_path: Path) -> Path:
    (tmp_path / "release.pub.pem").write_bytes(pem(key))
    return tmp_path / "release.pub.pem"


@pytest.fixture(params=["folder", "file"])
def form(request: pytest.FixtureRequest) -> Callable[[Path], Path]:
    """A bundle's folder as it is, or packed."""
    return pack if request.param == "file" else lambda folder: folder


def test_the_key_of_the_standard_is_read(public: Path) -> None:
    assert read_public_key(public).public_bytes_raw().hex() == RFC_PUBLIC
    assert read_public_key(public.read_bytes()) == read_public_key(str(public))


def test_a_rightly_signed_bundle_is_opened(
    bundle: Path, key: Any, public: Path, form: Callable[[Path], Path], toy: Any
) -> None:
    signature = sign(bundle, key)
    path = form(bundle)
    with open_bundle(path) as opened:
        assert opened.signature == signature
    for required in (public, str(public), public.read_bytes(), None):
        with load(path, require_signature=required) as model:
            assert model.predict(toy.images(1)[0]).label in model.labels
    report = verify_bundle(path, require_signature=public)
    assert (report.signed_by, report.signature_checked) == (RFC_PUBLIC, True)
    assert report.sha256 == hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def test_a_bundle_without_a_signature_is_refused(bundle: Path, public: Path, form: Callable[[Path], Path]) -> None:
    with pytest.raises(BundleError, match="expected a bundle that is signed, got none"):
        load(form(bundle), require_signature=public)


@pytest.mark.parametrize("command", [["info"], ["verify"], ["predict", "none.png"], ["bench", "--repeats", "1"]])
def test_every_command_that_takes_the_key_requires_it(
    bundle: Path, public: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    name, *more = command
    assert main([name, str(bundle), *more, "--require-signature", str(public)]) == 10
    assert "expected a bundle that is signed, got none" in capsys.readouterr().err


def test_a_signature_by_another_key_is_refused(
    bundle: Path, other_key: Any, public: Path, form: Callable[[Path], Path]
) -> None:
    sign(bundle, other_key)
    path = form(bundle)
    with pytest.raises(BundleError, match="expected a signature by the key fc51cd8e6218a1a3..., got one by 03a107bff3"):
        load(path, require_signature=public)
    load(path).close()


def test_a_signature_by_another_key_in_the_name_of_the_right_one_is_refused(
    bundle: Path, other_key: Any, public: Path, form: Callable[[Path], Path]
) -> None:
    forged = replace(sign(bundle, other_key), public_key=RFC_PUBLIC)
    (bundle / "manifest.sig").write_bytes(signature_content(forged))
    path = form(bundle)
    with pytest.raises(BundleError, match="expected a valid signature by the key fc51cd8e6218a1a3..., got one that it"):
        load(path, require_signature=public)
    load(path).close()


def test_a_manifest_that_was_changed_and_sealed_again_is_refused(
    bundle: Path, key: Any, public: Path, form: Callable[[Path], Path]
) -> None:
    signature = sign(bundle, key)
    write_manifest(bundle, replace(read_manifest(bundle), name="pests"))
    with pytest.raises(BundleError, match="manifest.sig: expected the signature of this bundle, got that of another"):
        load(form(bundle))
    content = (bundle / "manifest.json").read_bytes()
    adapted = replace(signature, manifest_sha256=hashlib.sha256(content).hexdigest())
    (bundle / "manifest.sig").write_bytes(signature_content(adapted))
    with pytest.raises(BundleError, match="expected a valid signature by the key"):
        load(form(bundle), require_signature=public)


def test_a_changed_file_is_refused_although_the_signature_is_valid(bundle: Path, key: Any, public: Path) -> None:
    sign(bundle, key)
    content = (bundle / "golden.npz").read_bytes()
    (bundle / "golden.npz").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match="golden.npz: expected SHA-256"):
        load(bundle, require_signature=public)


def _without_seal(content: bytes) -> dict[str, object]:
    return {name: value for name, value in parse_strictly(content).items() if name != SEAL}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "x"}, "expected format 'hkd-edge-signature' and format_version 1"),
        ({"format_version": 2}, "expected format 'hkd-edge-signature' and format_version 1"),
        ({"algorithm": "rsa"}, "algorithm: expected 'ed25519', got 'rsa'"),
        ({"public_key": "00"}, "public_key: expected 64 lower-case hex digits, got '00'"),
        ({"signature": "AB" * 64}, "signature: expected 128 lower-case hex digits"),
        ({"signature": 7}, "signature: expected a text, got 7"),
        ({"signture": ""}, "signture: unknown key. Did you mean 'signature'?"),
        ({"manifest_sha256": "0" * 64}, "expected the signature of this bundle, got that of another"),
    ],
)
def test_a_signature_file_of_another_content_is_refused(
    bundle: Path, key: Any, changes: dict[str, object], message: str
) -> None:
    sign(bundle, key)
    content = _without_seal((bundle / "manifest.sig").read_bytes())
    (bundle / "manifest.sig").write_bytes(sealed(content | changes))
    with pytest.raises(BundleError) as caught:
        load(bundle)
    assert message in str(caught.value)


def test_a_signature_file_written_in_another_order_is_refused(bundle: Path, key: Any) -> None:
    sign(bundle, key)
    content = _without_seal((bundle / "manifest.sig").read_bytes())
    (bundle / "manifest.sig").write_bytes(sealed(dict(reversed(content.items()))))
    with pytest.raises(BundleError, match="expected it as `hkd-edge bundle sign` writes it, got other bytes"):
        load(bundle)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"a": 1, "a": 2}', b"[" * 200_000])
def test_a_signature_file_that_is_none_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "manifest.sig").write_bytes(content)
    with pytest.raises(BundleError, match="manifest.sig: expected a signature file"):
        load(bundle)


def test_a_flipped_bit_of_the_signature_is_refused_though_no_key_is_required(bundle: Path, key: Any) -> None:
    sign(bundle, key)
    right, manifest = (bundle / "manifest.sig").read_bytes(), (bundle / "manifest.json").read_bytes()
    for index in range(len(right)):
        wrong = right[:index] + bytes([right[index] ^ 1 << index % 8]) + right[index + 1 :]
        with pytest.raises(BundleError):
            parse_signature(wrong, manifest, "manifest.sig")


def test_a_signature_that_is_a_symlink_is_refused(bundle: Path, key: Any) -> None:
    sign(bundle, key)
    (bundle / "manifest.sig").rename(bundle.parent / "elsewhere.sig")
    (bundle / "manifest.sig").symlink_to(bundle.parent / "elsewhere.sig")
    with pytest.raises(BundleError, match="manifest.sig: expected a file, got a symlink"):
        load(bundle)


def _private_pem(key: Any) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _x25519_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return pem(X25519PrivateKey.from_private_bytes(RFC_SECRET))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_private_pem, "expected an Ed25519 public key in PEM, got a private key"),
        (_x25519_pem, "expected an Ed25519 public key in PEM, got a key of another kind"),
        (lambda key: b"", "expected an Ed25519 public key in PEM, got something else"),
        (lambda key: RFC_SECRET, "expected an Ed25519 public key in PEM, got something else"),
    ],
)
def test_a_key_of_another_kind_is_refused(
    bundle: Path, key: Any, tmp_path: Path, make: Callable[[Any], bytes], message: str
) -> None:
    (tmp_path / "key.pem").write_bytes(make(key))
    for required in (tmp_path / "key.pem", make(key)):
        with pytest.raises(KeyFileError, match=message) as caught:
            load(bundle, require_signature=required)
    assert caught.value.exit_code == 14


def test_a_key_file_that_is_not_there_is_named(bundle: Path) -> None:
    with pytest.raises(KeyFileError, match="nowhere.pem: expected a key file, got: No such file"):
        load(bundle, require_signature="nowhere.pem")


def test_a_required_signature_is_never_skipped_for_want_of_the_library(
    bundle: Path, key: Any, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(bundle, key)
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingBackendError, match='Run: pip install "cryptography'):
        load(bundle, require_signature=public)
    load(bundle).close()


def test_the_commands_require_a_signature(
    bundle: Path, key: Any, public: Path, tmp_path: Path, toy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.fromarray(toy.images(1)[0, ..., 0]).save(tmp_path / "image.png")
    options = ["--require-signature", str(public)]
    commands = (["verify", str(bundle)], ["predict", str(bundle), str(tmp_path / "image.png")])
    assert [main([*command, *options]) for command in commands] == [10, 10]
    assert capsys.readouterr().err.count("expected a bundle that is signed, got none") == 2
    sign(bundle, key)
    assert [main([*command, *options]) for command in commands] == [0, 0]
    assert f"signed by {RFC_PUBLIC} (as required)" in capsys.readouterr().out
    assert main(["verify", str(bundle)]) == 0
    assert "(not checked: no key was required)" in capsys.readouterr().out
