"""Bundles as one file: there is one way to write them, and no other is read."""

from __future__ import annotations

import io
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hkd_edge_runtime import BundleError, load
from hkd_edge_runtime.archive import LIMIT_BYTES, write_archive
from hkd_edge_runtime.bundle import open_bundle
from hkd_edge_runtime.manifest import manifest_content, read_manifest
from hkd_edge_runtime.verify import verify_bundle
from tests.export.small_bundle import write_small_bundle

Contents = list[tuple[str, bytes]]
NOT_FIRST = "expected manifest.json first, stored as `hkd-edge bundle pack` does"


def contents_of(folder: Path) -> Contents:
    """What the archive of a bundle's folder holds, in its order."""
    names = ["manifest.json", *(entry.path for entry in read_manifest(folder).files())]
    return [(name, (folder / name).read_bytes()) for name in names]


def zip_info(name: str, **changes: Any) -> zipfile.ZipInfo:
    """The entry that an .hkd has for `name`, as Python's own zipfile writes it."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = 0o100644 << 16
    for key, value in changes.items():
        setattr(info, key, value)
    return info


def zipped(contents: Contents, **changes: Any) -> bytes:
    """A zip by Python's zipfile; `changes` are made to the entry of the second file."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile warns of a name that is there twice
        for index, (name, content) in enumerate(contents):
            archive.writestr(zip_info(name, **(changes if index == 1 else {})), content)
    return file.getvalue()


@pytest.fixture
def contents(bundle: Path) -> Contents:
    return contents_of(bundle)


@pytest.fixture
def packed(contents: Contents, tmp_path: Path) -> Path:
    write_archive(tmp_path / "pets.hkd", contents)
    return tmp_path / "pets.hkd"


def check(path: Path) -> None:
    with open_bundle(path):
        pass


def test_it_is_what_zipfile_writes_for_the_same_files(packed: Path, contents: Contents) -> None:
    assert packed.read_bytes() == zipped(contents)


def test_other_programs_unzip_it(packed: Path, contents: Contents) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        assert [(name, archive.read(name)) for name in archive.namelist()] == contents


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=9).filter(
            lambda name: "\0" not in name
        ),
        st.binary(max_size=99),
        max_size=4,
    )
)
@settings(deadline=None, max_examples=50)
def test_any_files_are_written_as_zipfile_writes_them(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_archive(Path(folder) / "a.hkd", files.items())
        assert (Path(folder) / "a.hkd").read_bytes() == zipped(list(files.items()))


@pytest.mark.parametrize("target", ["fake", "onnxruntime", "openvino"])
def test_a_packed_bundle_answers_as_its_folder(
    bundle_maker: Callable[..., Path], tmp_path: Path, toy: Any, target: str
) -> None:
    folder = bundle_maker({"target": target})
    write_archive(tmp_path / "pets.hkd", contents_of(folder))
    answers = []
    for path in (folder, tmp_path / "pets.hkd"):
        with load(path) as model:
            answers.append(model.predict(toy.images(1)[0]).to_dict())
    assert answers[0] == answers[1]
    assert verify_bundle(tmp_path / "pets.hkd") == verify_bundle(folder)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def test_only_what_is_opened_is_unpacked_and_goes_with_the_model(
    bundle_maker: Callable[..., Path], tmp_path: Path, temporary: Path
) -> None:
    write_archive(tmp_path / "pets.hkd", contents_of(bundle_maker({}, {"precision": "int8"})))
    model = load(tmp_path / "pets.hkd", "fake", "int8", verify=False)
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in folder.rglob("*") if file.is_file()] == ["model.npz"]
    assert (folder / "artefacts/fake-int8/model.npz").is_file()
    model.close()
    model.close()
    assert list(temporary.iterdir()) == []


def test_a_load_that_fails_leaves_nothing(bundle_maker: Callable[..., Path], tmp_path: Path, temporary: Path) -> None:
    write_archive(tmp_path / "pets.hkd", contents_of(bundle_maker(golden_shift=0.5)))
    with pytest.raises(BundleError, match="expected the golden probabilities"):
        load(tmp_path / "pets.hkd")
    assert list(temporary.iterdir()) == []


def test_a_full_disk_is_told(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with pytest.raises(BundleError, match="expected room for its files in a temporary folder, got: .* Set TMPDIR"):
        load(packed)


def test_a_file_written_to_after_the_check_is_never_opened(packed: Path, contents: Contents) -> None:
    entry = read_manifest(packed).files()[0]
    with open_bundle(packed) as bundle:
        place = packed.read_bytes().index(contents[1][1])
        with packed.open("r+b") as file:
            file.seek(place + 9)
            file.write(b"\xff\xff\xff")
        with pytest.raises(BundleError, match="has changed while it was open"):
            bundle.place(entry)
        with pytest.raises(BundleError, match="expected it to stay as it is"):
            bundle.read(entry)


def test_the_manifest_alone_is_read_of_a_file_too(packed: Path, bundle: Path) -> None:
    assert read_manifest(packed) == read_manifest(bundle)


def test_a_file_is_refused_before_it_grows_too_large(tmp_path: Path) -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return LIMIT_BYTES

    (tmp_path / "a.hkd").write_bytes(b"older")
    with pytest.raises(BundleError, match="expected at most 2147483647 bytes, got more. Keep it as a folder"):
        write_archive(tmp_path / "a.hkd", [("first", b"1"), ("second", Huge())])
    assert (tmp_path / "a.hkd").read_bytes() == b"older"
    assert [file.name for file in tmp_path.iterdir()] == ["a.hkd"]


# --- archives made to deceive -------------------------------------------------------------------------------------


def _fields(packed: bytes, name: str) -> tuple[int, int]:
    """Where the local header and the directory's record of `name` begin."""
    info = zipfile.ZipFile(io.BytesIO(packed)).getinfo(name)
    return info.header_offset, packed.rindex(b"PK\x01\x02", 0, packed.rindex(name.encode()))


def _patched(content: bytes, offset: int, new: bytes) -> bytes:
    return content[:offset] + new + content[offset + len(new) :]


def _with_field(contents: Contents, local: int, central: int, new: bytes) -> bytes:
    """The right archive with a field of the second entry changed in both of its headers."""
    packed = zipped(contents)
    header, record = _fields(packed, contents[1][0])
    return _patched(_patched(packed, header + local, new), record + central, new)


def _bomb(contents: Contents) -> bytes:
    """The second file as 64 MB of zeros in 64 kB."""
    return zipped([contents[0], (contents[1][0], b"\0" * (1 << 26)), *contents[2:]], compress_type=zipfile.ZIP_DEFLATED)


def _overlapping(contents: Contents) -> bytes:
    """The third entry of the directory points at the content of the second."""
    packed = zipped(contents)
    second = _fields(packed, contents[1][0])[0]
    record = _fields(packed, contents[2][0])[1]
    return _patched(packed, record + 42, struct.pack("<L", second))


def _gap(contents: Contents) -> bytes:
    """Four bytes that no entry owns before the directory, whose place is told rightly."""
    packed = zipped(contents)
    start = packed.index(b"PK\x01\x02")
    end = packed.rindex(b"PK\x05\x06")
    moved = _patched(packed, end + 16, struct.pack("<L", start + 4))
    return moved[:start] + b"free" + moved[start:]


def _commented(contents: Contents) -> bytes:
    file = io.BytesIO(zipped(contents))
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"hello"
    return file.getvalue()


def _with_stranger(name: str, **changes: Any) -> Callable[[Contents], bytes]:
    def make(contents: Contents) -> bytes:
        file = io.BytesIO(zipped(contents))
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(zip_info(name, **changes), b"/etc/passwd")
        return file.getvalue()

    return make


def _renamed(name: str) -> Callable[[Contents], bytes]:
    return lambda contents: zipped([contents[0], (name, contents[1][1]), *contents[2:]])


def _naming(path: str) -> Callable[[Contents], bytes]:
    """With a manifest, sealed, that names its first file `path`."""

    def make(contents: Contents) -> bytes:
        from hkd_edge_runtime.seal import SEAL, parse_strictly, sealed

        data = parse_strictly(contents[0][1])
        data.pop(SEAL)
        data["artefacts"][0]["files"][0]["path"] = path
        return zipped([("manifest.json", sealed(data)), (path, contents[1][1]), *contents[2:]])

    return make


def _of_version(version: int) -> Callable[[Contents], bytes]:
    def make(contents: Contents) -> bytes:
        manifest = contents[0][1].replace(b'"format_version": 1', b'"format_version": %d' % version)
        return zipped([("manifest.json", manifest), *contents[1:]])

    return make


def _directory_folder(contents: Contents) -> bytes:
    return zipped([contents[0], ("artefacts/", b""), *contents[1:]])


def _streamed(contents: Contents) -> bytes:
    """As written to a pipe: sizes behind the content, in a data descriptor."""

    class Pipe(io.BytesIO):
        def tell(self) -> int:
            raise OSError("a pipe has no place")

    file = Pipe()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents:
            archive.writestr(zip_info(name), content)
    return file.getvalue()


def _huge_zip64(contents: Contents) -> bytes:
    """Sizes of 4 GiB that a zip64 field would have to explain."""
    return _with_field(contents, 18, 20, b"\xff" * 8)


WRONG = {
    "empty": (lambda contents: b"", "expected a bundle .an .hkd file., got another file"),
    "no zip": (lambda contents: b"#!/bin/sh\n" * 100, "expected a bundle .an .hkd file., got another file"),
    "empty zip": (lambda contents: zipped([]), "expected a bundle .an .hkd file., got another file"),
    "prefix": (lambda contents: b"#!/bin/sh\n" + zipped(contents), "got another file"),
    "suffix": (lambda contents: zipped(contents) + b"\n", "bytes in all, got"),
    "two archives": (lambda contents: zipped(contents) * 2, "bytes in all, got"),
    "cut short": (lambda contents: zipped(contents)[:-1], "bytes in all, got"),
    "comment": (_commented, "bytes in all, got"),
    "gap": (_gap, "bytes in all, got"),
    "deflated manifest": (
        lambda contents: zipped([("x", b""), *contents], compress_type=zipfile.ZIP_DEFLATED),
        NOT_FIRST,
    ),
    "deflated file": (lambda contents: zipped(contents, compress_type=zipfile.ZIP_DEFLATED), "bytes in all, got"),
    "bomb": (_bomb, "bytes in all, got"),
    "said to be deflated": (lambda contents: _with_field(contents, 8, 10, b"\x08\0"), "the header before it"),
    "said to be encrypted": (lambda contents: _with_field(contents, 6, 8, b"\1\0"), "the header before it"),
    "said to be larger": (lambda contents: _with_field(contents, 22, 24, b"\xff\xff\xff\x7f"), "the header before it"),
    "said to be smaller": (lambda contents: _with_field(contents, 18, 20, b"\1\0\0\0\1\0\0\0"), "the header before it"),
    "zip64": (_huge_zip64, "the header before it"),
    "another CRC": (lambda contents: _with_field(contents, 14, 16, b"\0\0\0\0"), "the header before it"),
    "another date": (lambda contents: zipped(contents, date_time=(2026, 1, 1, 0, 0, 0)), "the header before it"),
    "needs version 4.5": (lambda contents: zipped(contents, extract_version=45), "the header before it"),
    "UTF-8 flag": (lambda contents: _with_field(contents, 6, 8, b"\0\x08"), "the header before it"),
    "made elsewhere": (lambda contents: zipped(contents, create_system=0), "the directory at its end"),
    "symlink": (lambda contents: zipped(contents, external_attr=0o120777 << 16), "the directory at its end"),
    "executable": (lambda contents: zipped(contents, external_attr=0o100755 << 16), "the directory at its end"),
    "hidden attribute": (lambda contents: zipped(contents, internal_attr=1), "the directory at its end"),
    "file comment": (lambda contents: zipped(contents, comment=b"free"), "bytes in all, got"),
    "extra field": (lambda contents: zipped(contents, extra=b"\xfe\xca\0\0"), "bytes in all, got"),
    "streamed": (_streamed, NOT_FIRST),
    "overlapping": (_overlapping, "the directory at its end"),
    "folder entry": (_directory_folder, "bytes in all, got"),
    "twice the same name": (lambda contents: zipped([*contents, contents[1]]), "bytes in all, got"),
    "manifest twice": (lambda contents: zipped([*contents, contents[0]]), "bytes in all, got"),
    "manifest last": (lambda contents: zipped([*contents[1:], contents[0]]), NOT_FIRST),
    "files swapped": (lambda contents: zipped([contents[0], *reversed(contents[1:])]), "expected SHA-256"),
    "file missing": (lambda contents: zipped(contents[:-1]), "bytes in all, got"),
    "stranger": (_with_stranger("notes.txt"), "bytes in all, got"),
    "stranger that climbs": (_with_stranger("../../evil"), "bytes in all, got"),
    "stranger that links": (_with_stranger("link", external_attr=0o120777 << 16), "bytes in all, got"),
    "file renamed absolute": (_renamed("/rtefacts/fake-fp32/model.npz"), "the header before it"),
    "file renamed to climb": (_renamed("../efacts/fake-fp32/model.npz"), "the header before it"),
    "manifest that climbs": (_naming("../evil"), "expected a plain relative path inside the bundle, got '../evil'"),
    "manifest that is absolute": (_naming("/tmp/evil"), "expected a plain relative path inside the bundle"),
    "manifest with a drive": (_naming("C:/evil"), "expected a plain relative path inside the bundle"),
    "manifest with backslashes": (_naming("..\\evil"), "expected a plain relative path inside the bundle"),
    "manifest naming itself": (_naming("manifest.json"), "expected a file of its own for 'manifest.json'"),
    "a later version": (_of_version(2), "format_version: expected 1, got 2. Install the hkd-edge-runtime"),
    "content of equal CRC": (lambda contents: zipped([contents[0], _forged(contents[1]), *contents[2:]]), "SHA-256"),
}


def _forged(file: tuple[str, bytes]) -> tuple[str, bytes]:
    """Another content of the same length and CRC-32: a bit is flipped and the last four bytes make up for it."""
    name, content = file
    head = bytes([content[0] ^ 1]) + content[1:-4]
    # CRC-32 is affine over the bits, so the four bytes come from 32 linear equations; here by a walk back.
    table = [zlib.crc32(bytes([index])) ^ zlib.crc32(b"\0") for index in range(256)]
    steps = {entry >> 24: index for index, entry in enumerate(table)}
    register = zlib.crc32(content) ^ 0xFFFFFFFF
    for _ in range(4):
        index = steps[register >> 24]
        register = (((register ^ table[index]) << 8) | index) & 0xFFFFFFFF
    tail = (register ^ zlib.crc32(head) ^ 0xFFFFFFFF).to_bytes(4, "little")
    assert zlib.crc32(head + tail) == zlib.crc32(content)
    return name, head + tail


@pytest.mark.parametrize("name", WRONG)
def test_another_archive_is_refused_and_nothing_is_unpacked(
    name: str, contents: Contents, tmp_path: Path, temporary: Path
) -> None:
    make, message = WRONG[name]
    evil = tmp_path / "evil.hkd"
    evil.write_bytes(make(contents))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BundleError, match=message) as caught:
        load(evil)
    assert str(caught.value).startswith(f"{evil}: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected a bundle"):
        check(tmp_path / "nowhere.hkd")


def test_a_file_that_says_it_is_endless_is_refused_at_once(packed: Path) -> None:
    with packed.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="bytes in all, got 1099511627776"):
        check(packed)


def test_a_manifest_of_endless_files_is_refused_at_once(bundle: Path, tmp_path: Path) -> None:
    manifest = read_manifest(bundle)
    entry = replace(manifest.golden.file, size_bytes=1 << 62)
    content = manifest_content(replace(manifest, golden=replace(manifest.golden, file=entry)))
    write_archive(tmp_path / "evil.hkd", [("manifest.json", content), *contents_of(bundle)[1:]])
    with pytest.raises(BundleError, match="expected 4611686018427"):
        check(tmp_path / "evil.hkd")


# --- any bytes ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A path to write to, and the bytes of a right archive with two small files."""
    folder = tmp_path_factory.mktemp("whole")
    write_archive(folder / "whole.hkd", contents_of(write_small_bundle(folder / "bundle")))
    check(folder / "whole.hkd")
    return folder / "changed.hkd", (folder / "whole.hkd").read_bytes()


def _accepts(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        check(path)
    except BundleError:
        return False
    return True


@given(content=st.binary(max_size=300).map(lambda tail: b"PK\x03\x04" + tail) | st.binary(max_size=300))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused_by_a_bundle_error(whole: tuple[Path, bytes], content: bytes) -> None:
    assert not _accepts(whole[0], content)


@given(data=st.data())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_archive_is_refused_however_it_was_changed(whole: tuple[Path, bytes], data: st.DataObject) -> None:
    path, right = whole
    start = data.draw(st.integers(0, len(right)))
    end = data.draw(st.integers(start, min(len(right), start + 60)))
    # Other bytes, pieces of the archive itself (headers in other places), or nothing.
    source = data.draw(st.integers(0, len(right)))
    piece = data.draw(st.binary(max_size=60) | st.just(right[source : source + 60]))
    changed = right[:start] + piece + right[end:]
    assert _accepts(path, changed) == (changed == right)


def test_every_byte_of_a_small_archive_counts(whole: tuple[Path, bytes]) -> None:
    path, right = whole
    for index in range(len(right)):
        assert not _accepts(path, _patched(right, index, bytes([right[index] ^ 1 << index % 8]))), index
