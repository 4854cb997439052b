"""A bundle as a folder: it holds the manifest, the files that it names, perhaps a signature, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import TracebackType

from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.files import sha256_file
from hkd_edge_runtime.manifest import MANIFEST_LIMIT_BYTES, MANIFEST_NAME, SIGNATURE_NAME, FileEntry, Manifest

_SHOWN = 10


class Folder:
    """The files of a bundle's folder, as `open_bundle` needs them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def manifest_content(self) -> bytes:
        """The bytes of the manifest.

        Raises:
            BundleError: if there is none, or it is a symlink, too large, or cannot be read.
        """
        path = self._path / MANIFEST_NAME
        if not path.is_symlink() and not path.is_file():
            raise BundleError(
                f"{self._path}: expected a bundle (a folder with {MANIFEST_NAME}, or an .hkd file), found none. "
                "Check the path."
            )
        return _read_small(path)

    @cached_property
    def signature_content(self) -> bytes | None:
        """The bytes of the signature file; None if there is none.

        Raises:
            BundleError: if it is a symlink, too large, or cannot be read.
        """
        path = self._path / SIGNATURE_NAME
        return _read_small(path) if path.is_symlink() or path.exists() else None

    def check(self, manifest: Manifest) -> None:
        """Compares all that lies in the folder with the manifest: names, sizes and SHA-256.

        What the manifest does not name is refused, because a runtime may read files beside the one that it
        opens (external data of ONNX, the .bin of OpenVINO), and no checksum would cover those.

        Raises:
            BundleError: naming each file that is missing, too many, a symlink, cut short or changed.
        """
        try:
            problems = list(_problems(self._path, manifest))
        except OSError as error:
            problems = [f"{error.filename or ''}: cannot be read ({error.strerror})"]
        if problems:
            more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
            raise BundleError(f"{self._path}: {'; '.join(problems[:_SHOWN])}{more}. Copy the bundle again.")

    def read(self, entry: FileEntry) -> bytes:
        """The bytes of one file; the caller compares their checksum."""
        return (self._path / entry.path).read_bytes()

    def place(self, entries: Sequence[FileEntry]) -> Path:
        """A folder in which `entries` lie under their paths."""
        return self._path

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the folder as it is."""


def _read_small(path: Path) -> bytes:
    if path.is_symlink():
        raise BundleError(f"{path}: expected a file, got a symlink. Copy the bundle with its files.")
    try:
        size_bytes = path.stat().st_size
        if not path.is_file() or size_bytes > MANIFEST_LIMIT_BYTES:
            raise BundleError(
                f"{path}: expected a file of at most {MANIFEST_LIMIT_BYTES} bytes, got {size_bytes}. "
                "Copy the bundle again."
            )
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}). Copy the bundle again.") from error


def _problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    wanted = {entry.path: entry for entry in manifest.files()}
    parents = {str(parent) for path in wanted for parent in PurePosixPath(path).parents}
    found = dict(_walk(folder, parents))
    yield from (f"{path}: expected a file, found none" for path in wanted if path not in found)
    for path, item in found.items():
        if path in (MANIFEST_NAME, SIGNATURE_NAME):
            continue
        problem = _damage(item, wanted.get(path), is_parent=path in parents)
        if problem:
            yield f"{path}: {problem}"


def _walk(folder: Path, parents: set[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What lies in the folder and its subfolders `parents`; of other subfolders the name alone."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as items:
            for item in sorted(items, key=lambda each: each.name):
                path = prefix + item.name
                if path in parents and item.is_dir(follow_symlinks=False):
                    waiting.append(f"{path}/")
                else:
                    yield path, item


def _damage(item: os.DirEntry[str], entry: FileEntry | None, *, is_parent: bool) -> str | None:
    if entry is None and not is_parent:
        return "expected nothing of that name, as the manifest does not name it; remove it"
    if item.is_symlink():
        return f"expected a {'folder' if entry is None else 'file'}, got a symlink"
    if entry is None or not item.is_file():
        return f"expected a {'folder' if entry is None else 'file'}, got something else"
    size_bytes = item.stat().st_size
    if size_bytes != entry.size_bytes:
        return f"expected {entry.size_bytes} bytes, got {size_bytes}"
    try:
        digest = sha256_file(item.path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if digest == entry.sha256 else f"expected SHA-256 {entry.sha256[:12]}..., got {digest[:12]}..."
