"""The whole check of a bundle: every byte by its checksum, artefacts that run here by the golden images."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hkd_edge_runtime.bundle import Bundle, open_bundle
from hkd_edge_runtime.errors import MissingBackendError
from hkd_edge_runtime.golden import GoldenResult, GoldenSet, read_golden
from hkd_edge_runtime.golden_memory import check_and_remember
from hkd_edge_runtime.manifest import Artefact
from hkd_edge_runtime.selection import is_usable, what_is_missing
from hkd_edge_runtime.session import open_artefact
from hkd_edge_runtime.signature import PublicKey


@dataclass(frozen=True)
class VerifyReport:
    """What `verify_bundle` compared.

    Attributes:
        sha256: of the manifest, which has those of all other files.
        files: how many files have their checksum, beside the manifest.
        signed_by: the public key in the bundle's signature, in hex; None if it is not signed.
        signature_checked: whether the signature was required by a key, and is valid.
        checked: the artefacts that ran, each within its tolerance.
        skipped: those that could not run here, with the reason.
    """

    name: str
    sha256: str
    files: int
    signed_by: str | None
    signature_checked: bool
    checked: tuple[GoldenResult, ...]
    skipped: tuple[tuple[str, str], ...]


def verify_bundle(
    path: str | os.PathLike[str], *, threads: int = 1, require_signature: PublicKey | None = None
) -> VerifyReport:
    """What was compared in the bundle at `path`, a folder or an .hkd file, if all of it agreed.

    Raises:
        BundleError: at the first damage, or artefact out of tolerance, or if it is not signed as required.
        KeyFileError: if `require_signature` is no public key.
        MissingBackendError: if no artefact can run here, so that nothing but checksums could be compared.
        ValueError: for threads < 1.
    """
    with open_bundle(path, require_signature) as bundle:
        manifest = bundle.manifest
        golden = read_golden(bundle.place(manifest.golden.file), manifest)
        usable = [artefact for artefact in manifest.artefacts if is_usable(artefact)]
        if not usable:
            raise MissingBackendError(f"{manifest.name}: {what_is_missing(list(manifest.artefacts))}")
        checked = tuple(_check(bundle, artefact, golden, threads) for artefact in usable)
        skipped = tuple(
            (artefact.title, what_is_missing([artefact])) for artefact in manifest.artefacts if artefact not in usable
        )
        signed_by = bundle.signature.public_key if bundle.signature else None
        return VerifyReport(
            manifest.name,
            bundle.digest,
            len(manifest.files()),
            signed_by,
            require_signature is not None,
            checked,
            skipped,
        )


def _check(bundle: Bundle, artefact: Artefact, golden: GoldenSet, threads: int) -> GoldenResult:
    manifest = bundle.manifest
    folder = bundle.place(*artefact.files)
    backend = open_artefact(folder, artefact, manifest.input, manifest.hierarchy, threads=threads)
    try:
        return check_and_remember(backend, artefact, bundle, golden, threads)
    finally:
        backend.close()
