"""Makes Ed25519 keys and signs bundles with them; the wrapper checks, see `hkd_edge_runtime.signature`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hkd_edge_export.errors import ExportError
from hkd_edge_export.packing import write_bundle_archive
from hkd_edge_runtime.bundle import Bundle, open_bundle
from hkd_edge_runtime.errors import KeyFileError
from hkd_edge_runtime.files import write_bytes_atomically
from hkd_edge_runtime.manifest import SIGNATURE_NAME
from hkd_edge_runtime.signature import Signature, read_key_file, signature_content

PUBLIC_SUFFIX = ".pub"


def write_keys(path: Path) -> Path:
    """Writes a new private key to `path` (PEM, PKCS #8, mode 0600) and returns that of its public key.

    The private key is not encrypted: keep it off the boards, which need the public one alone.

    Raises:
        KeyFileError: if one of the two files is there already, or cannot be written.
    """
    public_path = path.with_name(f"{path.stem}{PUBLIC_SUFFIX}{path.suffix}")
    if public_path.exists():
        raise _not_written(public_path, "a file that stays")
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(path, private, 0o600)
    _write_new(public_path, public, 0o644)
    return public_path


def sign_bundle(path: Path, private_key: Path, *, overwrite: bool = False) -> Signature:
    """Signs the bundle at `path`, a folder or .hkd file, after checking every byte of it; the latter is written anew.

    Raises:
        BundleError: if the bundle is damaged.
        ExportError: if it is signed already, and not `overwrite`.
        KeyFileError: if that is no Ed25519 private key.
    """
    key = _read_private_key(private_key)
    with open_bundle(path) as bundle:
        if bundle.signature is not None and not overwrite:
            raise ExportError(
                f"{path}: expected a bundle that is not signed yet, got one signed by "
                f"{bundle.signature.public_key[:16]}... Replace that signature by --overwrite."
            )
        signature = _sign(bundle, key)
        if path.is_dir():
            write_bytes_atomically(path / SIGNATURE_NAME, signature_content(signature))
        else:
            write_bundle_archive(path, bundle, signature)
    return signature


def _sign(bundle: Bundle, key: Ed25519PrivateKey) -> Signature:
    content = bundle.manifest_content
    return Signature(
        public_key=key.public_key().public_bytes_raw().hex(),
        signature=key.sign(content).hex(),
        manifest_sha256=hashlib.sha256(content).hexdigest(),
    )


def _read_private_key(path: Path) -> Ed25519PrivateKey:
    content = read_key_file(path)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except TypeError as error:
        raise _not_a_private_key(path, "an encrypted one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_a_private_key(path, "a public key" if b"PUBLIC KEY" in content else "something else") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a_private_key(path, "a key of another kind")
    return key


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        # The mode is given with the file, so that it was never readable by others.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise _not_written(path, "a file that stays") from error
    except OSError as error:
        raise _not_written(path, str(error.strerror)) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _not_written(path: Path, what: str) -> KeyFileError:
    return KeyFileError(f"{path}: expected to write a new key file, got: {what}. Choose another name.")


def _not_a_private_key(path: Path, what: str) -> KeyFileError:
    return KeyFileError(
        f"{path}: expected an Ed25519 private key in PEM without a password, got {what}. "
        "Make keys by: hkd-edge bundle keygen"
    )
