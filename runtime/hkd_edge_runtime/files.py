"""Files that are either whole or not there, and their checksums."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# Hashing is what takes the time; larger pieces gain nothing.
CHUNK_BYTES = 1 << 18


def sha256_file(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, 64 lower-case hex digits."""
    import hashlib  # here and below: together a third of the package's import time

    digest = hashlib.sha256()
    with Path(path).open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_chunks(file: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """The next `size_bytes` of `file` in pieces; fewer where it ends before."""
    while size_bytes > 0 and (chunk := file.read(min(size_bytes, CHUNK_BYTES))):
        yield chunk
        size_bytes -= len(chunk)


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path in the same folder to write to, which replaces `path` when the block ends without an error.

    The temporary name keeps the suffix, because some writers choose their format by it. On an error the
    temporary file is removed and `path` stays as it was. The block must create the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.urandom(6).hex()}{path.suffix}")
    try:
        yield temporary
        # Without fsync a power cut after the rename can leave an empty file under the final name.
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def copy_atomically(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Writes the bytes of `source` to `target`, whole or not at all."""
    import shutil

    with write_atomically(target) as temporary:
        shutil.copyfile(source, temporary)


def write_json_atomically(path: str | os.PathLike[str], value: object) -> None:
    """Writes `value` as indented UTF-8 JSON; NaN and infinities, which JSON lacks, raise ValueError."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)
