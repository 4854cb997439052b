"""What the checks of `load` cost: `python benchmarks/trust.py BUNDLE [--rounds N]`, BUNDLE being a folder.

Prints medians, and p90, in ms over the rounds, which take turns over all rows; the files are in the page cache.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hkd_edge_export.packing import pack_bundle
from hkd_edge_export.signing import sign_bundle, write_keys
from hkd_edge_runtime.bundle import open_bundle
from hkd_edge_runtime.files import sha256_file
from hkd_edge_runtime.manifest import read_manifest
from hkd_edge_runtime.selection import select_artefact
from hkd_edge_runtime.session import load

WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        rows = measured(work_of(options.bundle, Path(name)), options.rounds)
    entries = read_manifest(options.bundle).files()
    size_bytes = sum(entry.size_bytes for entry in entries)
    print(f"{len(entries)} files, {size_bytes} bytes; n = {options.rounds}; Python {platform.python_version()}")
    for title, times_ms in rows.items():
        median, p90 = np.percentile(times_ms, [50, 90])
        print(f"{title:<52}{median:8.2f}{p90:8.2f}")


def work_of(folder: Path, scratch: Path) -> dict[str, Callable[[], object]]:
    """What is timed, by its title."""
    packed = pack_bundle(folder, scratch / "bundle.hkd")
    signed, public = pack_bundle(folder, scratch / "signed.hkd"), write_keys(scratch / "key.pem")
    sign_bundle(signed, scratch / "key.pem", overwrite=True)
    manifest = read_manifest(folder)
    artefact = select_artefact(manifest)
    files = [folder / entry.path for entry in manifest.files()]

    def place() -> None:
        with open_bundle(packed) as bundle:
            bundle.place(*artefact.files)

    return {
        "manifest, parsed and its seal compared": lambda: read_manifest(folder),
        "SHA-256 of all files": lambda: [sha256_file(file) for file in files],
        "folder: every byte checked": lambda: _opened(folder),
        ".hkd: every byte checked": lambda: _opened(packed),
        ".hkd: every byte checked, signature required": lambda: _opened(signed, public),
        f".hkd: the same unsigned, {artefact.title} unpacked": place,
        "load(folder, verify=False)": lambda: load(folder, verify=False).close(),
        "load(folder), golden images remembered": lambda: load(folder).close(),
        "load(folder, verify=True)": lambda: load(folder, verify=True).close(),
        "load(.hkd, verify=False)": lambda: load(packed, verify=False).close(),
        "load(.hkd), golden images remembered": lambda: load(packed).close(),
    }


def measured(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """The times of each piece of work in ms."""
    times_ms: dict[str, list[float]] = {title: [] for title in work}
    for turn in range(WARM_UP + rounds):
        for title, run in work.items():
            started = time.perf_counter()
            run()
            if turn >= WARM_UP:
                times_ms[title].append((time.perf_counter() - started) * 1e3)
    return times_ms


def _opened(path: Path, key: Path | None = None) -> str:
    with open_bundle(path, key) as bundle:
        return bundle.digest


if __name__ == "__main__":
    main()
