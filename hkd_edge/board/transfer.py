"""Folders as streams of tar, and the digest by which a board knows that it has one already."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hkd_edge_runtime.files import CHUNK_BYTES, sha256_file


def regular_files(folder: Path) -> list[Path]:
    """All files below `folder`, sorted; symlinks are left out, since what they point at may not go along."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def digest(folder: Path, files: Sequence[Path]) -> str:
    """The SHA-256 over names and contents of `files`, of which all are below `folder`."""
    lines = [f"{sha256_file(path)} {path.relative_to(folder).as_posix()}" for path in files]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def tar_stream(folder: Path, files: Sequence[Path]) -> Iterator[bytes]:
    """A tar archive of `files` by their names below `folder`, readable for all and without owners or times."""
    for path in files:
        info = tarfile.TarInfo(path.relative_to(folder).as_posix())
        info.size = path.stat().st_size
        yield info.tobuf(tarfile.PAX_FORMAT)
        with path.open("rb") as file:
            left = info.size
            while left and (chunk := file.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk
        if left:
            raise OSError(f"{path} became shorter while it was read")
        yield bytes(-info.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
