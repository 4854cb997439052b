"""Runs on the board: `python on_the_board.py BUNDLE IMAGES.npy ANSWERS.npz`; prints what it saw as JSON.

Needs what a board has: numpy, hkd_edge_runtime and one runtime.
"""

from __future__ import annotations

import json
import platform
import sys

import hkd_edge_runtime as hkd

FOREIGN = ("torch", "onnx", "onnxruntime", "openvino", "PIL", "click", "pydantic", "yaml")


def loaded() -> list[str]:
    """Those of the packages FOREIGN that have been imported."""
    return [name for name in FOREIGN if name in sys.modules]


def main(bundle: str, images_file: str, answers_file: str) -> None:
    """Runs the images through each file for ONNX Runtime, after the golden images."""
    load = hkd.load
    after_import = loaded()
    import numpy as np

    from hkd_edge_runtime.manifest import read_manifest

    images, answers = np.load(images_file), {}
    for artefact in read_manifest(bundle).artefacts:
        if artefact.target == "onnxruntime":
            with load(bundle, artefact.target, artefact.precision) as model:
                outputs = model.run(images)
            answers[f"{artefact.precision}/logits"] = outputs.logits
            answers[f"{artefact.precision}/probabilities"] = outputs.probabilities
    np.savez(answers_file, **answers)
    seen = {
        "machine": platform.machine(),
        "executable": sys.executable,
        "package": hkd.__file__,
        "onnxruntime": sys.modules["onnxruntime"].__version__,
        "loaded_by_import": after_import,
        "loaded_by_predictions": loaded(),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
