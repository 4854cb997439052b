"""A bundle's folder to one .hkd file and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hkd_edge_export.bundle import replacing
from hkd_edge_export.errors import ExportError
from hkd_edge_runtime.archive import write_archive
from hkd_edge_runtime.bundle import ARCHIVE_SUFFIX, Bundle, open_bundle
from hkd_edge_runtime.manifest import MANIFEST_NAME, SIGNATURE_NAME
from hkd_edge_runtime.signature import Signature, signature_content


def pack_bundle(folder: Path, output: Path | None = None) -> Path:
    """Writes the bundle in `folder` as one file (default: FOLDER.hkd) and returns its path; it is read back.

    Raises:
        BundleError: if the bundle is damaged, or too large for one file.
        ExportError: if `output` is there already, or `folder` is a file.
    """
    if folder.is_file():
        raise ExportError(f"{folder}: expected a bundle's folder, got a file. Nothing is to be packed.")
    output = output or folder.resolve().with_suffix(ARCHIVE_SUFFIX)
    _check_free(output)
    with open_bundle(folder) as bundle:
        write_bundle_archive(output, bundle, bundle.signature)
    with open_bundle(output):
        return output


def unpack_bundle(file: Path, output: Path | None = None) -> Path:
    """Writes the bundle in an .hkd file as a folder (default: FILE without its suffix), whole or not at all.

    Raises:
        BundleError: if the bundle is damaged.
        ExportError: if `output` is there already, or `file` is a folder.
    """
    if file.is_dir():
        raise ExportError(f"{file}: expected an {ARCHIVE_SUFFIX} file, got a folder. Nothing is to be unpacked.")
    output = output or file.with_suffix("")
    _check_free(output)
    with open_bundle(file) as bundle, replacing(output.resolve()) as new:
        for name, content in _contents(bundle, bundle.signature):
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content)
    return output


def write_bundle_archive(output: Path, bundle: Bundle, signature: Signature | None) -> None:
    """Writes an open bundle with `signature` in the place of its own to the file `output`, which it may come from.

    Raises:
        BundleError: if it is too large for one file, or changes meanwhile.
    """
    write_archive(output, _contents(bundle, signature))


def _contents(bundle: Bundle, signature: Signature | None) -> Iterator[tuple[str, bytes]]:
    yield MANIFEST_NAME, bundle.manifest_content
    if signature is not None:
        yield SIGNATURE_NAME, signature_content(signature)
    for entry in bundle.manifest.files():
        yield entry.path, bundle.read(entry)


def _check_free(output: Path) -> None:
    if output.exists() or output.is_symlink():
        raise ExportError(f"{output}: expected a path where nothing is yet, got one that stays. Choose another by -o.")
