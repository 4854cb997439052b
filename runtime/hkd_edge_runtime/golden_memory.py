"""Which artefacts answered their golden images rightly on this machine, so that not every load runs them again.

One small file for each, in the user's cache directory: its name is the SHA-256 of the facts that the answers hang
on, its content the facts themselves. Another bundle, runtime, processor or number of threads is another file.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Final, Literal

from hkd_edge_runtime import __version__
from hkd_edge_runtime.backends.base import Backend
from hkd_edge_runtime.bundle import Bundle
from hkd_edge_runtime.cache import cache_folder
from hkd_edge_runtime.files import write_bytes_atomically
from hkd_edge_runtime.golden import check_golden, read_golden
from hkd_edge_runtime.manifest import Artefact

ONCE: Final = "once"
When = bool | Literal["once"]

# What of a processor's description in /proc/cpuinfo decides which kernels a runtime takes; the rest changes with time.
_CPU_FACTS = {
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),
}
_CPUINFO = Path("/proc/cpuinfo")


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
    facts = golden_facts(backend, artefact, bundle.digest, threads)
    if verify is False or (verify == ONCE and is_remembered(facts)):
        return
    golden = read_golden(bundle.place(bundle.manifest.golden.file), bundle.manifest)
    check_golden(backend, artefact, bundle.manifest, golden)
    remember(facts)


def golden_facts(backend: Backend, artefact: Artefact, digest: str, threads: int) -> dict[str, str]:
    """All that the answers to the golden images hang on; `digest` is that of the bundle."""
    return {
        "bundle_sha256": digest,
        "artefact": artefact.title,
        "runtime": f"{backend.name} {backend.version()}",
        "wrapper": __version__,
        "threads": str(threads),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_facts(),
    }


def is_remembered(facts: dict[str, str]) -> bool:
    """Whether `remember` was called with these facts; a damaged file is as none."""
    try:
        return _entry_path(facts).read_bytes() == _entry_content(facts)
    except (OSError, RuntimeError):
        return False


def remember(facts: dict[str, str]) -> None:
    """Writes the facts down; where that cannot be done it warns, once for each folder, as nothing else is lost."""
    try:
        path = _entry_path(facts)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, _entry_content(facts))
    except (OSError, RuntimeError) as error:
        _warn_once(str(error))


def cpu_facts(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's model and abilities, of the first core; on other systems than Linux what Python knows."""
    try:
        first = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    except OSError:
        # On Linux this starts a process, and knows no more.
        return "" if sys.platform == "linux" else platform.processor()
    pairs = [line.partition(":") for line in first.splitlines()]
    return "; ".join(f"{name.strip()}: {value.strip()}" for name, _, value in pairs if name.strip() in _CPU_FACTS)


def memory_folder() -> Path:
    """Where the files lie.

    Raises:
        RuntimeError: if the user has no home.
    """
    return cache_folder() / "golden"


def _entry_path(facts: dict[str, str]) -> Path:
    return memory_folder() / f"{hashlib.sha256(_entry_content(facts)).hexdigest()}.json"


def _entry_content(facts: dict[str, str]) -> bytes:
    return (json.dumps(facts, indent=2) + "\n").encode("utf-8")


@cache
def _warn_once(problem: str) -> None:
    warnings.warn(
        f"expected to write into the user's cache directory, got: {problem}. The golden images run on each load; "
        "set XDG_CACHE_HOME to a folder that can be written, or load with verify=False.",
        RuntimeWarning,
        stacklevel=5,  # the caller of `load`
    )
