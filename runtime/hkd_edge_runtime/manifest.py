"""The bundle format: a folder with `manifest.json`, artefacts for each target, and golden images.

The checksums show damage, not forgery: whoever can change a file can change the manifest. A bundle from a
stranger needs a signature beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NoReturn

from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.files import sha256_file, write_json_atomically
from hkd_edge_runtime.hierarchy import Hierarchy
from hkd_edge_runtime.strict import decode, encode

FORMAT = "hkd-edge-bundle"
FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"

_SHA256 = re.compile("[0-9a-f]{64}")
_IDENTIFIER = re.compile("[a-z0-9][a-z0-9_.-]*")
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
    """

    target: str
    precision: str
    files: tuple[FileEntry, ...]
    shipped: bool
    reason: str
    metrics: Mapping[str, float]

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
        tolerance: by precision, how far a probability may lie from the stored one on another machine.
    """

    file: FileEntry
    tolerance: Mapping[str, float]

    def __post_init__(self) -> None:
        for precision, tolerance in self.tolerance.items():
            if tolerance < 0:
                raise ValueError(f"tolerance.{precision}: expected a number >= 0, got {tolerance}.")


@dataclass(frozen=True)
class Manifest:
    """All that a bundle says about itself."""

    name: str
    created_by: str
    input: InputSpec
    hierarchy: Hierarchy
    artefacts: tuple[Artefact, ...]
    golden: Golden
    metrics: Mapping[str, float]
    provenance: Mapping[str, object]

    def __post_init__(self) -> None:
        if not self.artefacts:
            raise ValueError("artefacts: expected at least one, got none.")
        titles = [artefact.title for artefact in self.artefacts]
        for artefact in self.artefacts:
            if titles.count(artefact.title) > 1:
                raise ValueError(f"artefacts: {artefact.title} is there twice; names must be unique.")
            if artefact.precision not in self.golden.tolerance:
                raise ValueError(f"golden.tolerance: expected a number for {artefact.precision!r}, got none.")

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the outputs."""
        return self.hierarchy.classes

    def files(self) -> tuple[FileEntry, ...]:
        """Every file that the manifest answers for."""
        return (*(entry for artefact in self.artefacts for entry in artefact.files), self.golden.file)


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


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest of the bundle in `folder`; its files are not looked at, see `verify_files`.

    Raises:
        BundleError: if there is none, or it is a symlink, not JSON, or not as the format demands.
    """
    path = Path(folder) / MANIFEST_NAME
    if path.is_symlink():
        _refuse(str(path), "expected a file, got a symlink. Copy the bundle with its files.")
    if not path.is_file():
        _refuse(str(folder), f"expected a bundle (a folder with {MANIFEST_NAME}), found none. Check the path.")
    import json

    try:
        data = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError, OSError) as error:
        raise BundleError(f"{path}: expected JSON in UTF-8: {error}. Copy the bundle again.") from error
    return manifest_from_dict(data, str(path))


def write_manifest(folder: str | os.PathLike[str], manifest: Manifest) -> None:
    """Writes `manifest.json` into `folder`, whole or not at all."""
    write_json_atomically(Path(folder) / MANIFEST_NAME, manifest_to_dict(manifest))


def file_entry(folder: str | os.PathLike[str], path: str) -> FileEntry:
    """The entry of the file that lies at `path` (relative, forward slashes) in `folder` now."""
    file = Path(folder) / path
    return FileEntry(path, sha256_file(file), file.stat().st_size)


def verify_files(folder: str | os.PathLike[str], manifest: Manifest) -> None:
    """Compares every file of the manifest with its size and SHA-256.

    Raises:
        BundleError: naming each file that is missing, a symlink, cut short or changed.
    """
    problems = [f"{entry.path}: {problem}." for entry in manifest.files() if (problem := _damage(Path(folder), entry))]
    if problems:
        _refuse(str(folder), " ".join(problems) + " Copy the bundle again.")


def _damage(folder: Path, entry: FileEntry) -> str | None:
    path = folder
    for part in PurePosixPath(entry.path).parts:
        path = path / part
        if path.is_symlink():
            return "expected a file, got a symlink"
    if not path.is_file():
        return "expected a file, found none"
    size_bytes = path.stat().st_size
    if size_bytes != entry.size_bytes:
        return f"expected {entry.size_bytes} bytes, got {size_bytes}"
    try:
        digest = sha256_file(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if digest == entry.sha256 else f"expected SHA-256 {entry.sha256[:12]}..., got {digest[:12]}..."


def _check_path(path: str) -> None:
    pure = PurePosixPath(path)
    unsafe = pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == "."
    # Backslash and colon are separators on other systems, NUL ends a name.
    if unsafe or any(letter in path for letter in "\\:\0"):
        raise ValueError(f"path: expected a plain relative path inside the bundle, got {path!r}.")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is there twice in one mapping")
    return result


def _refuse(where: str, what: str) -> NoReturn:
    raise BundleError(f"{where}: {what}")
