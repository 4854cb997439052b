"""A bundle that is whole but for that no runtime opens its model."""

from __future__ import annotations

from pathlib import Path

from hkd_edge_runtime.hierarchy import Hierarchy
from hkd_edge_runtime.manifest import Artefact, Golden, InputSpec, Manifest, file_entry, write_manifest


def write_small_bundle(folder: Path) -> Path:
    (folder / "artefacts/fake-fp32").mkdir(parents=True)
    (folder / "artefacts/fake-fp32/model").write_bytes(b"weights")
    (folder / "golden.npz").write_bytes(b"images")
    artefact = Artefact("fake", "fp32", (file_entry(folder, "artefacts/fake-fp32/model"),), True, "", {"top1": 90.0})
    golden = Golden(file_entry(folder, "golden.npz"), {"fp32": 1e-4})
    hierarchy = Hierarchy(("coat", "bag"))
    manifest = Manifest("small", "hkd-edge", InputSpec(1, 1, 1), hierarchy, (artefact,), golden, {}, {"seed": 1})
    write_manifest(folder, manifest)
    return folder
