"""How far two ways to compute TensorRT's files lie apart: ONNX Runtime with and without its optimisations.

    python tests/export/measure_signed.py RUN...

Not a test; the tolerances of golden images for TensorRT (docs/targets.md) rest on its output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from hkd_edge.data.load import load_dataset
from hkd_edge_runtime.backends.onnxruntime import OnnxRuntimeBackend

BATCH = 100


def probabilities(path: Path, images: np.ndarray, *, optimised: bool) -> np.ndarray:
    backend = OnnxRuntimeBackend(optimised=optimised)
    backend.open(path)
    try:
        starts = range(0, len(images), BATCH)
        return np.concatenate([backend.run(images[start : start + BATCH]).probabilities for start in starts])
    finally:
        backend.close()


def main() -> None:
    print(f"ONNX Runtime {onnxruntime.__version__}")
    for run in map(Path, sys.argv[1:]):
        facts = json.loads((run / "data" / "data.json").read_text(encoding="utf-8"))
        images = load_dataset(facts["name"], None, download=False).test.images
        for path in sorted((run / "artefacts" / "tensorrt").glob("*.onnx")):
            one, other = (probabilities(path, images, optimised=optimised) for optimised in (True, False))
            largest = np.abs(one - other).max(axis=1)
            same = 100 * np.mean(one.argmax(axis=1) == other.argmax(axis=1))
            print(
                f"{facts['name']} {path.stem}: n={len(images)}, largest difference {largest.max():.2g}, "
                f"99th percentile {np.percentile(largest, 99):.2g}, same answer {same:.2f} %"
            )


if __name__ == "__main__":
    main()
