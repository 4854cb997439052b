"""Which artefacts answered their golden images rightly on this machine, so that not every load runs them again.

One small file for each, in the user's cache directory: its name is the SHA-256 of the facts that the answers hang
on, its content the facts themselves. Another bundle, runtime, device, machine or number of threads is another file.
"""

from __future__ import annotations

from typing import Final, Literal

from hkd_edge_runtime import __version__
from hkd_edge_runtime.backends.base import Backend
from hkd_edge_runtime.bundle import Bundle
from hkd_edge_runtime.cache import key_of, recall, remember
from hkd_edge_runtime.golden import GoldenResult, GoldenSet, check_golden, read_golden
from hkd_edge_runtime.machine import machine_facts
from hkd_edge_runtime.manifest import Artefact

KIND: Final = "golden"
ONCE: Final = "once"
When = bool | Literal["once"]


def ensure_golden(backend: Backend, artefact: Artefact, bundle: Bundle, *, threads: int, verify: When) -> None:
    """Runs the golden images through the open `backend`, if `verify` asks for it, and remembers that they agreed.

    Args:
        verify: True runs them, False does not, "once" does unless they agreed on this machine before.

    Raises:
        BundleError: if they do not agree; that is not remembered.
        ValueError: for another `verify`.
    """
    if verify not in (True, False, ONCE):
        raise ValueError(f"verify: expected True, False or {ONCE!r}, got {verify!r}.")
    if verify is False:
        return
    if verify == ONCE and is_remembered(golden_facts(backend, artefact, bundle.digest, threads)):
        return
    golden = read_golden(bundle.place(bundle.manifest.golden.file), bundle.manifest)
    check_and_remember(backend, artefact, bundle, golden, threads)


def check_and_remember(
    backend: Backend, artefact: Artefact, bundle: Bundle, golden: GoldenSet, threads: int
) -> GoldenResult:
    """`check_golden`, whose success is remembered for later loads.

    Raises:
        BundleError: if the golden images do not agree; that is not remembered.
    """
    result = check_golden(backend, artefact, bundle.manifest, golden)
    facts = golden_facts(backend, artefact, bundle.digest, threads)
    remember(KIND, key_of(facts), facts)
    return result


def is_remembered(facts: dict[str, str]) -> bool:
    """Whether the golden images agreed under these facts before; a damaged entry is as none."""
    return recall(KIND, key_of(facts)) == facts


def golden_facts(backend: Backend, artefact: Artefact, digest: str, threads: int) -> dict[str, str]:
    """All that the answers to the golden images hang on; `digest` is that of the bundle."""
    return {
        "bundle_sha256": digest,
        "artefact": artefact.title,
        "runtime": f"{backend.name} {backend.version()}",
        "device": backend.device(),
        "wrapper": __version__,
        "threads": str(threads),
        **machine_facts(),
    }
