"""What a delivery is made from: the fp32 file, images to calibrate and to judge by, and other forms of the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.stored import Pixels
from hkd_edge.evaluate.artefacts import Artefact, answer
from hkd_edge_export.ladder import Score
from hkd_edge_runtime.evaluation import top1_percent


@dataclass(frozen=True, eq=False)
class Images:
    """uint8 images (N, H, W, C) with the classes (N,) that count as right."""

    images: Pixels
    labels: NDArray[np.int64]

    def score(self, artefact: Artefact) -> Score:
        """Top-1 of a built artefact, by the runtime that it is for (see `evaluate.artefacts`)."""
        return Score(top1_percent(answer(artefact, self.images).logits, self.labels), len(self.labels))


@dataclass(frozen=True, eq=False)
class Source:
    """The network to deliver.

    Attributes:
        fp32: its ONNX file.
        calibration: uint8 (N, H, W, C), training images from which the ranges of int8 are measured.
        validation: decides between ways to int8; None = there is nothing to decide by.
        equalized, fine_tuned: write, to the path given, the fp32 ONNX file of the same network with channels of one
            size, or after quantization-aware training; None = only a run with its training images can.
    """

    fp32: Path
    calibration: NDArray[np.uint8]
    validation: Images | None
    equalized: Callable[[Path], Path] | None = None
    fine_tuned: Callable[[Path], Path] | None = None


def answers_as_labels(fp32: Path, images: Pixels) -> Images:
    """Images without labels: right is what the fp32 file answers, so that top-1 is agreement with it."""
    logits = answer(Artefact("onnxruntime", "fp32", fp32), images).logits
    return Images(images, logits.argmax(axis=1).astype(np.int64))
