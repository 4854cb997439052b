"""The bundle format: `manifest.json`, artefacts for each target, and golden images.

The manifest has the SHA-256 of every other file, and a seal of its own. Both show damage, not forgery: whoever
can change a file can change the manifest. A bundle from a stranger needs a signature, see `signature.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NoReturn

from hkd_edge_runtime.confidence import Confidence
from hkd_edge_runtime.errors import BundleError, did_you_mean
from hkd_edge_runtime.files import sha256_file, write_bytes_atomically
from hkd_edge_runtime.hierarchy import Hierarchy
from hkd_edge_runtime.seal import SEAL, check_seal, parse_strictly, sealed
from hkd_edge_runtime.strict import decode, encode
from hkd_edge_runtime.tensorrt.record import BatchProfile

FORMAT = "hkd-edge-bundle"
FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
# A hundred times what a manifest takes; more is not worth reading into a board's memory.
MANIFEST_LIMIT_BYTES = 1 << 24

_SHA256 = re.compile("[0-9a-f]{64}")
_IDENTIFIER = re.compile("[a-z0-9][a-z0-9_.-]*")
_PATH_LIMIT_BYTES = 255  # of common file systems for one name; for the whole path it is ample
_CHANNELS = {"grey": 1, "rgb": 3}


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle; `path` is relative to the bundle, with forward slashes."""

    path: str
    sha256: str
    size_bytes: int

    def __post_init__(self) -> None:
        _check_path(self.path)
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"sha256: expected 64 lower-case hex digits, got {self.sha256!r}.")
        if self.size_bytes < 0:
            raise ValueError(f"size_bytes: expected a number >= 0, got {self.size_bytes}.")


@dataclass(frozen=True)
class InputSpec:
    """What the model takes: uint8 (N, height, width, channels), and how other pictures become that."""

    height: int
    width: int
    channels: int
    dtype: Literal["uint8"] = "uint8"
    layout: Literal["NHWC"] = "NHWC"
    color: Literal["grey", "rgb"] = "grey"
    resize: Literal["bilinear", "bicubic", "nearest"] = "bilinear"

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ValueError(f"height, width: expected numbers >= 1, got {self.height} and {self.width}.")
        if self.channels != _CHANNELS[self.color]:
            raise ValueError(
                f"channels: expected {_CHANNELS[self.color]} for color {self.color!r}, got {self.channels}."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Artefact:
    """The model made for one target at one precision.

    Attributes:
        target: the backend that opens it; names unknown to this version are read and passed over.
        files: the first is the one to open, the others lie where it expects them.
        shipped: False if it missed its limits; `reason` then says which, and it is only opened by name.
        metrics: numbers by name with their unit in it (`top1`, `p50_ms`).
        profile: the batches for which the board builds an engine from the file at first use, so that where the
            bundle was made nobody could run it; None if the file itself is what runs.
        confidence: the temperature and the thresholds of `Answer.label_or_concept`, if they were measured.
    """

    target: str
    precision: str
    files: tuple[FileEntry, ...]
    shipped: bool
    reason: str
    metrics: Mapping[str, float]
    profile: BatchProfile | None = None
    confidence: Confidence | None = None

    def __post_init__(self) -> None:
        for what, name in (("target", self.target), ("precision", self.precision)):
            if not _IDENTIFIER.fullmatch(name):
                raise ValueError(f"{what}: expected lower-case letters, digits, '_', '.', '-', got {name!r}.")
        if not self.files:
            raise ValueError("files: expected at least one file, got none.")

    @property
    def title(self) -> str:
        """How messages name it, for example `onnxruntime int8`."""
        return f"{self.target} {self.precision}"


@dataclass(frozen=True)
class Golden:
    """Images with the probabilities that each artefact gave when the bundle was made.

    Attributes:
        tolerance: how far a probability may lie from the stored one on another machine: by precision, or for
            one artefact alone by its title (`tensorrt int8`), which then counts.
    """

    file: FileEntry
    tolerance: Mapping[str, float]

    def __post_init__(self) -> None:
        for precision, tolerance in self.tolerance.items():
            if tolerance < 0:
                raise ValueError(f"tolerance.{precision}: expected a number >= 0, got {tolerance}.")

    def tolerance_of(self, artefact: Artefact) -> float:
        """How far the probabilities of `artefact` may lie from the stored ones."""
        return self.tolerance.get(artefact.title, self.tolerance[artefact.precision])


@dataclass(frozen=True)
class Manifest:
    """All that a bundle says about itself.

    Attributes:
        evaluation: labelled test images, see `evaluation.py`; a bundle may have none.
    """

    name: str
    created_by: str
    input: InputSpec
    hierarchy: Hierarchy
    artefacts: tuple[Artefact, ...]
    golden: Golden
    metrics: Mapping[str, float]
    provenance: Mapping[str, object]
    evaluation: FileEntry | None = None

    def __post_init__(self) -> None:
        if not self.artefacts:
            raise ValueError("artefacts: expected at least one, got none.")
        titles = [artefact.title for artefact in self.artefacts]
        for artefact in self.artefacts:
            if titles.count(artefact.title) > 1:
                raise ValueError(f"artefacts: {artefact.title} is there twice; names must be unique.")
            if artefact.precision not in self.golden.tolerance:
                raise ValueError(f"golden.tolerance: expected a number for {artefact.precision!r}, got none.")
            self._check_axes(artefact)
        _check_paths(self.files())

    def _check_axes(self, artefact: Artefact) -> None:
        names = [axis.name for axis in self.hierarchy.axes]
        for name in artefact.confidence.axes if artefact.confidence else ():
            if name not in names:
                raise ValueError(
                    f"artefacts: {artefact.title}: confidence.axes: unknown axis {name!r}.{did_you_mean(name, names)}"
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the outputs."""
        return self.hierarchy.classes

    def files(self) -> tuple[FileEntry, ...]:
        """Every file that the manifest answers for, once each, in its order."""
        of_artefacts = (entry for artefact in self.artefacts for entry in artefact.files)
        entries = (*of_artefacts, self.golden.file, *([self.evaluation] if self.evaluation else []))
        return tuple(dict.fromkeys(entries))


def manifest_to_dict(manifest: Manifest) -> dict[str, Any]:
    """The content of `manifest.json`."""
    head: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "labels": list(manifest.labels),
    }
    body: dict[str, Any] = encode(manifest)
    return head | body


def manifest_from_dict(data: object, where: str = MANIFEST_NAME) -> Manifest:
    """The manifest that `manifest_to_dict` wrote.

    Raises:
        BundleError: naming `where` and every unknown, missing or wrong key; or an unknown format version.
    """
    data = _check_version(data, where)
    problems: list[str] = []
    body = {key: value for key, value in data.items() if key not in ("format", "format_version", "labels")}
    manifest = decode(Manifest, body, "", problems)
    if "labels" not in data:
        problems.append("labels: missing.")
    elif manifest is not None and data["labels"] != list(manifest.labels):
        problems.append("labels: expected the classes of the hierarchy in the same order.")
    if problems or not isinstance(manifest, Manifest):
        _refuse(where, " ".join(problems))
    return manifest


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """The manifest of the bundle in a folder or .hkd file; its other files are not looked at, see `open_bundle`.

    Raises:
        BundleError: if there is none, or it is a symlink, damaged, or not as the format demands.
    """
    from hkd_edge_runtime.bundle import open_source  # which needs this module

    with open_source(path) as source:
        return parse_manifest(source.manifest_content, f"{os.fspath(path)}: {MANIFEST_NAME}")


def parse_manifest(content: bytes, where: str = MANIFEST_NAME) -> Manifest:
    """The manifest in the bytes that `manifest_content` made.

    Raises:
        BundleError: naming `where`, if it is damaged, or not as the format demands.
    """
    try:
        data = parse_strictly(content)
    except ValueError as error:
        raise BundleError(f"{where}: expected JSON in UTF-8: {error}. Copy the bundle again.") from error
    # Before the seal: a later version may seal in another way.
    _check_version(data, where)
    try:
        check_seal(content)
    except ValueError as error:
        raise BundleError(f"{where}: {error}. Copy the bundle again.") from error
    return manifest_from_dict({key: value for key, value in data.items() if key != SEAL}, where)


def manifest_content(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`: indented JSON, whose last entry is the SHA-256 of the lines above it."""
    return sealed(manifest_to_dict(manifest))


def write_manifest(folder: str | os.PathLike[str], manifest: Manifest) -> None:
    """Writes `manifest.json` into `folder`, whole or not at all."""
    write_bytes_atomically(Path(folder) / MANIFEST_NAME, manifest_content(manifest))


def file_entry(folder: str | os.PathLike[str], path: str) -> FileEntry:
    """The entry of the file that lies at `path` (relative, forward slashes) in `folder` now."""
    file = Path(folder) / path
    return FileEntry(path, sha256_file(file), file.stat().st_size)


def _check_version(data: object, where: str) -> dict[str, Any]:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        _refuse(where, f"expected a mapping with format {FORMAT!r}; this is not a bundle's manifest.")
    version = data.get("format_version")
    # True == 1 in Python, so the type is compared as well.
    if type(version) is not int or version != FORMAT_VERSION:
        _refuse(
            where,
            f"format_version: expected {FORMAT_VERSION}, got {version!r}. Install the hkd-edge-runtime that "
            "belongs to the bundle, or export it again.",
        )
    return data


def _check_paths(entries: tuple[FileEntry, ...]) -> None:
    """Refuses two files that would take one place, on any file system."""
    taken = {name.casefold(): FileEntry(name, "0" * 64, 0) for name in (MANIFEST_NAME, SIGNATURE_NAME)}
    for entry in entries:
        other = taken.setdefault(entry.path.casefold(), entry)
        if other != entry:
            raise ValueError(f"path: expected a file of its own for {entry.path!r}, got the place of {other.path!r}.")
    for path in taken:
        for folder in PurePosixPath(path).parents:
            if str(folder) in taken:
                raise ValueError(f"path: expected a folder above {path!r}, got the file {str(folder)!r}.")


def _check_path(path: str) -> None:
    pure = PurePosixPath(path)
    unsafe = pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == "."
    # Backslash and colon are separators on other systems; what cannot be printed is a trap, or no Unicode.
    if unsafe or "\\" in path or ":" in path or not path.isprintable():
        raise ValueError(f"path: expected a plain relative path inside the bundle, got {path!r}.")
    if len(path.encode("utf-8")) > _PATH_LIMIT_BYTES:
        raise ValueError(f"path: expected at most {_PATH_LIMIT_BYTES} bytes, got {path!r}.")


def _refuse(where: str, what: str) -> NoReturn:
    raise BundleError(f"{where}: {what}")
