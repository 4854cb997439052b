"""Opens a bundle, a folder or an .hkd file, and checks every byte of it; what runs in it is not its matter."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hkd_edge_runtime.archive import Archive
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.folder import Folder
from hkd_edge_runtime.manifest import MANIFEST_NAME, SIGNATURE_NAME, FileEntry, Manifest, parse_manifest
from hkd_edge_runtime.signature import PublicKey, Signature, check_signature, parse_signature

ARCHIVE_SUFFIX = ".hkd"


class Source(Protocol):
    """Where a bundle's files lie: `Folder` or `Archive`, which say what each of these does."""

    @property
    def manifest_content(self) -> bytes: ...

    @property
    def signature_content(self) -> bytes | None: ...

    def check(self, manifest: Manifest) -> None: ...

    def read(self, entry: FileEntry) -> bytes: ...

    def place(self, entries: Sequence[FileEntry]) -> Path: ...


@dataclass(frozen=True, eq=False)
class Description:
    """What a bundle says about itself.

    Attributes:
        manifest_content: the bytes of `manifest.json`.
        signature: what `manifest.sig` says; None if there is none. Whether it is valid was checked only if a key was
            required.
    """

    manifest: Manifest
    manifest_content: bytes
    signature: Signature | None

    @property
    def digest(self) -> str:
        """The SHA-256 of the manifest's bytes, and so of the whole bundle but its signature; 64 hex digits."""
        return hashlib.sha256(self.manifest_content).hexdigest()


@dataclass(frozen=True, eq=False)
class Bundle(Description):
    """An open bundle that is whole: every byte of it was checked."""

    source: Source

    def read(self, entry: FileEntry) -> bytes:
        """The bytes of one file.

        Raises:
            BundleError: if they changed since the bundle was opened.
        """
        content = self.source.read(entry)
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleError(f"{entry.path}: expected it to stay as it is, got another content. Open it again.")
        return content

    def place(self, *entries: FileEntry) -> Path:
        """A folder in which these files lie under their paths, for runtimes that open paths.

        For a folder it is the folder itself. For an .hkd file it is a private temporary one that goes when the bundle
        is closed; only the files asked for are written there.
        """
        return self.source.place(entries)


def open_source(path: str | os.PathLike[str]) -> AbstractContextManager[Source]:
    """The bundle's files, not checked yet.

    Raises:
        BundleError: if there is no bundle at `path`.
    """
    path = Path(path)
    return Archive(path) if path.is_file() else Folder(path)


@contextmanager
def open_bundle(path: str | os.PathLike[str], require_signature: PublicKey | None = None) -> Iterator[Bundle]:
    """The bundle in a folder or .hkd file, until the block ends.

    Args:
        require_signature: the public key, a PEM file or its bytes, by which it must be signed. Without it a
            signature is only checked for damage.

    Raises:
        BundleError: if a byte of it is not as it was written, or it is not signed as required.
        KeyFileError: if that is no Ed25519 public key.
        MissingBackendError: if a signature is required and `cryptography` is not installed.
    """
    with open_source(path) as source:
        head = _describe(source, os.fspath(path), require_signature)
        source.check(head.manifest)
        yield Bundle(head.manifest, head.manifest_content, head.signature, source)


def describe(path: str | os.PathLike[str], require_signature: PublicKey | None = None) -> Description:
    """What the bundle in a folder or .hkd file says about itself; its other files are not looked at.

    Raises:
        BundleError: if its manifest is not as the format demands, or not signed as required.
        KeyFileError, MissingBackendError: as `open_bundle`.
    """
    with open_source(path) as source:
        return _describe(source, os.fspath(path), require_signature)


def _describe(source: Source, where: str, require_signature: PublicKey | None) -> Description:
    content, signed = source.manifest_content, source.signature_content
    manifest = parse_manifest(content, f"{where}: {MANIFEST_NAME}")
    signature = None if signed is None else parse_signature(signed, content, f"{where}: {SIGNATURE_NAME}")
    if require_signature is not None:
        check_signature(signature, content, require_signature, where)
    return Description(manifest, content, signature)
