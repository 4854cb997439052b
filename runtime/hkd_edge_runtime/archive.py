"""A bundle as one file: an .hkd is a zip of stored entries, of which the manifest is the first.

There is one way to write it for given files, and the reader takes no other: it does not interpret the zip but reads
the manifest at the front, and then compares every byte with what the writer writes for the names and sizes in that
manifest. So paths, compression, encryption, links, comments, extra fields, gaps and bytes before or behind need no
rules of their own, and each byte is either content, under a SHA-256, or structure, compared. Any program can unzip it.

Layout: APPNOTE.TXT 6.3.10, 4.3.7 (local header), 4.3.12 (directory), 4.3.16 (end).
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.files import read_chunks, write_atomically
from hkd_edge_runtime.manifest import MANIFEST_LIMIT_BYTES, MANIFEST_NAME, SIGNATURE_NAME, FileEntry, Manifest

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

# Beyond these a zip needs the zip64 form, or programs disagree on whether it does.
LIMIT_BYTES = (1 << 31) - 1
LIMIT_FILES = (1 << 16) - 2

_LOCAL = struct.Struct("<4s5H3L2H")
_DIRECTORY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_MAGIC = b"PK\x03\x04"
_VERSION = 20  # 2.0: folders in paths
_MADE_BY_UNIX = 3 << 8 | _VERSION
_UTF8 = 0x800
_STORED = 0
_MIDNIGHT, _FIRST_OF_JANUARY_1980 = 0, 1 << 5 | 1
_PLAIN_FILE = 0o100644 << 16


@dataclass(frozen=True)
class Member:
    """One file in an archive; `offset` is where its header begins."""

    name: str
    size_bytes: int
    crc32: int
    offset: int


def local_header(member: Member) -> bytes:
    """The bytes before the content of a file."""
    name = member.name.encode("utf-8")
    return _LOCAL.pack(_MAGIC, _VERSION, *_common(member, name), 0) + name


def directory(members: Sequence[Member], offset: int) -> bytes:
    """The bytes behind the last content, which begin at `offset`."""
    records = b"".join(_directory_record(member) for member in members)
    count = len(members)
    return records + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(records), offset, 0)


def write_archive(path: str | os.PathLike[str], contents: Iterable[tuple[str, bytes]]) -> None:
    """Writes (name, content) pairs to `path`, whole or not at all; the same pairs give the same bytes.

    Raises:
        BundleError: if it would become larger than 2 GiB. What was at `path` then stays.
    """
    members: list[Member] = []
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        for name, content in contents:
            member = Member(name, len(content), zlib.crc32(content), file.tell())
            if member.offset + member.size_bytes > LIMIT_BYTES:
                raise BundleError(f"{path}: expected at most {LIMIT_BYTES} bytes, got more. Keep it as a folder.")
            file.write(local_header(member))
            file.write(content)
            members.append(member)
        file.write(directory(members, file.tell()))


class Archive:
    """An open .hkd file, as `open_bundle` needs it. Files unpacked by `place` are removed when it is closed."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise BundleError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
        self._path = path
        self._offsets: dict[str, int] = {}
        self._unpacked: TemporaryDirectory[str] | None = None

    @cached_property
    def manifest_content(self) -> bytes:
        """The bytes of the manifest, which is the first file.

        Raises:
            BundleError: if the file does not begin as `write_archive` begins.
        """
        content = self._read_front(0, MANIFEST_NAME)
        if content is None:
            self._refuse_beginning()
        return content

    @cached_property
    def signature_content(self) -> bytes | None:
        """The bytes of the signature, which may be the second file; None if it is not.

        Raises:
            BundleError: as `manifest_content`.
        """
        return self._read_front(_header_bytes(MANIFEST_NAME) + len(self.manifest_content), SIGNATURE_NAME)

    def check(self, manifest: Manifest) -> None:
        """Compares every byte of the file with what `write_archive` writes for the files in `manifest`.

        Raises:
            BundleError: naming the first place that differs.
        """
        entries = [_entry(MANIFEST_NAME, self.manifest_content), *manifest.files()]
        if self.signature_content is not None:
            entries.insert(1, _entry(SIGNATURE_NAME, self.signature_content))
        self._check_size(entries)
        self._file.seek(0)
        members = [self._check_member(entry) for entry in entries]
        offset = self._file.tell()
        if self._file.read() != directory(members, offset):
            self._refuse("the directory at its end is another than that of its files")
        self._offsets = {member.name: member.offset for member in members}

    def read(self, entry: FileEntry) -> bytes:
        """The bytes of one file after `check`; the caller compares their checksum."""
        self._file.seek(self._offsets[entry.path] + _header_bytes(entry.path))
        return self._file.read(entry.size_bytes)

    def place(self, entries: Sequence[FileEntry]) -> Path:
        """A private folder in which `entries` lie under their paths, until the archive is closed; after `check`.

        Raises:
            BundleError: if they cannot be written, or have changed since `check`.
        """
        try:
            folder = self._private_folder()
            for entry in entries:
                self._unpack(entry, folder / entry.path)
        except OSError as error:
            raise BundleError(
                f"{self._path}: expected room for its files in a temporary folder, got: {error}. Set TMPDIR, or "
                "unzip it and name the folder."
            ) from error
        return folder

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file and removes what was unpacked."""
        self._file.close()
        if self._unpacked is not None:
            self._unpacked.cleanup()
            self._unpacked = None

    def _private_folder(self) -> Path:
        from tempfile import TemporaryDirectory  # costs folders an import that they do not need

        if self._unpacked is None:
            self._unpacked = TemporaryDirectory(prefix="hkd-edge-")
        return Path(self._unpacked.name)

    def _unpack(self, entry: FileEntry, target: Path) -> None:
        if target.exists():
            return
        content = self.read(entry)
        # What is opened is what was checked, even if the file was written to meanwhile.
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            self._refuse(f"{entry.path} has changed while it was open")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def _read_front(self, offset: int, name: str) -> bytes | None:
        """The content of the file `name` whose header lies at `offset`; None if another header lies there."""
        self._file.seek(offset)
        header = self._file.read(_header_bytes(name))
        if len(header) < _header_bytes(name) or header[_LOCAL.size :] != name.encode():
            return None
        crc32, _, size_bytes = _LOCAL.unpack_from(header)[6:9]
        if size_bytes > MANIFEST_LIMIT_BYTES or header != local_header(Member(name, size_bytes, crc32, offset)):
            return None
        content = self._file.read(size_bytes)
        return content if zlib.crc32(content) == crc32 else None

    def _check_size(self, entries: Sequence[FileEntry]) -> None:
        expected = _archive_bytes(entries)
        actual = os.fstat(self._file.fileno()).st_size
        if actual != expected:
            self._refuse(f"expected {expected} bytes in all, got {actual}")
        if actual > LIMIT_BYTES or len(entries) > LIMIT_FILES:
            self._refuse(f"expected at most {LIMIT_BYTES} bytes and {LIMIT_FILES} files")

    def _check_member(self, entry: FileEntry) -> Member:
        offset = self._file.tell()
        header = self._file.read(_header_bytes(entry.path))
        digest, crc32 = hashlib.sha256(), 0
        for chunk in read_chunks(self._file, entry.size_bytes):
            digest.update(chunk)
            crc32 = zlib.crc32(chunk, crc32)
        if digest.hexdigest() != entry.sha256:
            self._refuse(f"{entry.path}: expected SHA-256 {entry.sha256[:12]}..., got {digest.hexdigest()[:12]}...")
        member = Member(entry.path, entry.size_bytes, crc32, offset)
        if header != local_header(member):
            self._refuse(f"{entry.path}: the header before it is another than that of this file")
        return member

    def _refuse_beginning(self) -> NoReturn:
        self._file.seek(0)
        if self._file.read(len(_MAGIC)) != _MAGIC:
            raise BundleError(f"{self._path}: expected a bundle (an .hkd file), got another file. Check the path.")
        raise BundleError(
            f"{self._path}: expected {MANIFEST_NAME} first, stored as `hkd-edge bundle pack` does, got a damaged file "
            "or another program's zip. Copy it again, or unzip it and pack the folder by `hkd-edge bundle pack`."
        )

    def _refuse(self, what: str) -> NoReturn:
        raise BundleError(f"{self._path}: {what}. Copy the bundle again.")


def _common(member: Member, name: bytes) -> tuple[int, ...]:
    """The fields that the local header and the record in the directory share."""
    flags = 0 if name.isascii() else _UTF8
    size = member.size_bytes
    return flags, _STORED, _MIDNIGHT, _FIRST_OF_JANUARY_1980, member.crc32, size, size, len(name)


def _directory_record(member: Member) -> bytes:
    name = member.name.encode("utf-8")
    head = (b"PK\x01\x02", _MADE_BY_UNIX, _VERSION, *_common(member, name))
    return _DIRECTORY.pack(*head, 0, 0, 0, 0, _PLAIN_FILE, member.offset) + name


def _entry(name: str, content: bytes) -> FileEntry:
    return FileEntry(name, hashlib.sha256(content).hexdigest(), len(content))


def _header_bytes(name: str) -> int:
    return _LOCAL.size + len(name.encode("utf-8"))


def _archive_bytes(entries: Sequence[FileEntry]) -> int:
    names = [len(entry.path.encode("utf-8")) for entry in entries]
    contents = sum(entry.size_bytes for entry in entries)
    return contents + 2 * sum(names) + len(names) * (_LOCAL.size + _DIRECTORY.size) + _END.size
