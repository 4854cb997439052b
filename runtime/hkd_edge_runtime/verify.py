"""The whole check of a bundle: files by their checksums, artefacts that run here by the golden images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hkd_edge_runtime.errors import MissingBackendError
from hkd_edge_runtime.golden import GoldenResult, GoldenSet, check_golden, read_golden
from hkd_edge_runtime.manifest import Artefact, Manifest, read_manifest, verify_files
from hkd_edge_runtime.selection import is_usable, what_is_missing
from hkd_edge_runtime.session import open_artefact


@dataclass(frozen=True)
class VerifyReport:
    """What `verify_bundle` compared.

    Attributes:
        files: how many files have their checksum.
        checked: the artefacts that ran, each within its tolerance.
        skipped: those that could not run here, with the reason.
    """

    name: str
    files: int
    checked: tuple[GoldenResult, ...]
    skipped: tuple[tuple[str, str], ...]


def verify_bundle(folder: str | os.PathLike[str], *, threads: int = 1) -> VerifyReport:
    """What was compared, if all of it agreed.

    Raises:
        BundleError: at the first damaged file or artefact out of tolerance.
        MissingBackendError: if no artefact can run here, so that nothing but checksums could be compared.
        ValueError: for threads < 1.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    golden = read_golden(folder, manifest)
    usable = [artefact for artefact in manifest.artefacts if is_usable(artefact)]
    if not usable:
        raise MissingBackendError(f"{manifest.name}: {what_is_missing(list(manifest.artefacts))}")
    checked = tuple(_check(folder, manifest, artefact, golden, threads) for artefact in usable)
    skipped = tuple(
        (artefact.title, what_is_missing([artefact])) for artefact in manifest.artefacts if artefact not in usable
    )
    return VerifyReport(manifest.name, len(manifest.files()), checked, skipped)


def _check(folder: Path, manifest: Manifest, artefact: Artefact, golden: GoldenSet, threads: int) -> GoldenResult:
    backend = open_artefact(folder, artefact, manifest.input, manifest.hierarchy, threads=threads)
    try:
        return check_golden(backend, artefact, manifest, golden)
    finally:
        backend.close()
