"""Ed25519 signatures (RFC 8032) of bundles: who made it, where checksums only say that nothing was damaged.

`manifest.sig` signs the bytes of `manifest.json`, which has the SHA-256 of all other files. It is sealed as the
manifest is, so that damage shows without a key and without a library.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hkd_edge_runtime.errors import BundleError, KeyFileError
from hkd_edge_runtime.packages import import_package
from hkd_edge_runtime.seal import SEAL, check_seal, parse_strictly, sealed
from hkd_edge_runtime.strict import decode, encode

FORMAT = "hkd-edge-signature"
FORMAT_VERSION = 1
REQUIREMENT = "cryptography>=42"
_HEX = re.compile("([0-9a-f]{2})+")
_LENGTHS_BYTES = {"public_key": 32, "signature": 64, "manifest_sha256": 32}

# A file with the key as PEM, or the PEM itself.
PublicKey = str | os.PathLike[str] | bytes


@dataclass(frozen=True)
class Signature:
    """The content of `manifest.sig`; all but the algorithm in hex.

    Attributes:
        public_key: 32 bytes, for messages; who must have signed is for the caller to say.
        signature: 64 bytes, over the bytes of the manifest.
        manifest_sha256: of these bytes.
    """

    public_key: str
    signature: str
    manifest_sha256: str
    algorithm: Literal["ed25519"] = "ed25519"

    def __post_init__(self) -> None:
        for name, length_bytes in _LENGTHS_BYTES.items():
            value = getattr(self, name)
            if not _HEX.fullmatch(value) or len(value) != 2 * length_bytes:
                raise ValueError(f"{name}: expected {2 * length_bytes} lower-case hex digits, got {value!r}.")


def signature_content(signature: Signature) -> bytes:
    """The bytes of `manifest.sig`."""
    return sealed({"format": FORMAT, "format_version": FORMAT_VERSION} | encode(signature))


def parse_signature(content: bytes, manifest: bytes, where: str) -> Signature:
    """The signature in a file that lies beside the manifest with the bytes `manifest`; no key is asked.

    Raises:
        BundleError: naming `where`, if it is not byte for byte what `signature_content` writes, or belongs to
            another manifest.
    """
    try:
        signature = _decode(parse_strictly(content))
        check_seal(content)
    except ValueError as error:
        raise BundleError(f"{where}: expected a signature file: {error}. Copy the bundle again.") from error
    if content != signature_content(signature):
        raise BundleError(f"{where}: expected it as `hkd-edge bundle sign` writes it, got other bytes. Sign again.")
    if signature.manifest_sha256 != hashlib.sha256(manifest).hexdigest():
        raise BundleError(f"{where}: expected the signature of this bundle, got that of another. Sign it again.")
    return signature


def check_signature(signature: Signature | None, manifest: bytes, key: PublicKey, where: str) -> None:
    """Refuses a manifest, given by its bytes, unless it was signed with the private part of `key`.

    Raises:
        BundleError: naming `where`, if there is no signature, or one by another key, or one that is not valid.
        KeyFileError: if `key` is no Ed25519 public key.
        MissingBackendError: if the package `cryptography` is not installed.
    """
    public_key = read_public_key(key)
    if signature is None:
        raise BundleError(f"{where}: expected a bundle that is signed, got none. Do not use it unless you trust it.")
    wanted = public_key.public_bytes_raw().hex()
    if signature.public_key != wanted:
        raise BundleError(
            f"{where}: expected a signature by the key {wanted[:16]}..., got one by {signature.public_key[:16]}... "
            "Do not use it unless you trust that key."
        )
    invalid = import_package("cryptography.exceptions", REQUIREMENT).InvalidSignature
    try:
        public_key.verify(bytes.fromhex(signature.signature), manifest)
    except invalid as error:
        raise BundleError(
            f"{where}: expected a valid signature by the key {wanted[:16]}..., got one that it never made. "
            "Do not use this bundle."
        ) from error


def read_public_key(key: PublicKey) -> Any:
    """The `Ed25519PublicKey` in a PEM file, or in the bytes of one.

    Raises:
        KeyFileError: if it cannot be read, or holds something else.
        MissingBackendError: if the package `cryptography` is not installed.
    """
    serialization = import_package("cryptography.hazmat.primitives.serialization", REQUIREMENT)
    ed25519 = import_package("cryptography.hazmat.primitives.asymmetric.ed25519", REQUIREMENT)
    unsupported = import_package("cryptography.exceptions", REQUIREMENT).UnsupportedAlgorithm
    where = "public key" if isinstance(key, bytes) else os.fspath(key)
    content = key if isinstance(key, bytes) else read_key_file(key)
    try:
        public_key = serialization.load_pem_public_key(content)
    except (ValueError, unsupported) as error:
        # The library's own message is about its parser; a private key here is the usual mistake.
        raise _not_a_public_key(where, "a private key" if b"PRIVATE KEY" in content else "something else") from error
    if not isinstance(public_key, ed25519.Ed25519PublicKey):
        raise _not_a_public_key(where, "a key of another kind")
    return public_key


def read_key_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a key file.

    Raises:
        KeyFileError: if it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise KeyFileError(f"{os.fspath(path)}: expected a key file, got: {error.strerror}. Check the path.") from error


def _not_a_public_key(where: str, what: str) -> KeyFileError:
    return KeyFileError(
        f"{where}: expected an Ed25519 public key in PEM, got {what}. Make keys by: hkd-edge bundle keygen"
    )


def _decode(data: object) -> Signature:
    head = {"format": FORMAT, "format_version": FORMAT_VERSION}
    if not isinstance(data, dict) or {key: data.get(key) for key in head} != head:
        raise ValueError(f"expected format {FORMAT!r} and format_version {FORMAT_VERSION}")
    problems: list[str] = []
    body = {key: value for key, value in data.items() if key not in (*head, SEAL)}
    signature = decode(Signature, body, "", problems)
    if not isinstance(signature, Signature):
        raise ValueError(" ".join(problems))
    return signature
