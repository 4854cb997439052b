"""Exports a file without a recipe: an fp32 ONNX file of the contract, or a student that `hkd-edge distill` wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd_edge.delivery.files import RECORD_NAME, Delivered, Order, deliver
from hkd_edge.delivery.source import Images, Source, answers_as_labels
from hkd_edge.distill.equalize import equalize
from hkd_edge.distill.saved import read_student
from hkd_edge.errors import DataError, GateError
from hkd_edge.evaluate.artefacts import Artefact
from hkd_edge.evaluate.gates import least_agreement
from hkd_edge_export.lint import read_onnx
from hkd_edge_export.lint_int8 import lint_fp32
from hkd_edge_export.to_onnx import to_onnx
from hkd_edge_runtime import __version__
from hkd_edge_runtime.backends.base import INPUT
from hkd_edge_runtime.files import sha256_file, write_json_atomically
from hkd_edge_runtime.manifest import InputSpec
from hkd_edge_runtime.preprocess import to_batch

CALIBRATION_IMAGES = 300
_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
_SEED = 0


@dataclass(frozen=True)
class Checked:
    """How often an artefact answers like the fp32 file, in percent of `images` images that calibrated nothing."""

    artefact: Artefact
    agreement: float
    images: int


def is_exportable(path: Path) -> bool:
    """Whether a path names a file that this module exports."""
    return path.suffix in (".onnx", ".pt")


def export_file(
    file: Path, order: Order, folder: Path, image_folder: Path | None, tell: Callable[[str], None]
) -> tuple[Delivered, list[Checked]]:
    """Makes the artefacts of `order` from `file` in `folder`, and compares each with the fp32 file.

    Without labels, right is what the fp32 file answers: `order.max_drop` then limits the answers that int8 may change,
    in percentage points. Half of the images below `image_folder`, up to 300, calibrate int8, the others compare.
    Without images nothing is compared, and int8 cannot be made.

    Raises:
        ExportError, TrainingError: if `file` is not what it should be, or an artefact cannot be made.
        DataError: if there are too few images, or int8 is wanted and there are none.
        InputError: for an image that cannot be read.
        GateError: if an artefact answers otherwise than the fp32 file.
    """
    if "int8" in order.precisions and image_folder is None:
        raise DataError(
            "expected images for int8, whose ranges are measured on them, got none. Give --images FOLDER with some of "
            "the training images, about 600, or leave int8 out by --precision."
        )
    fp32, equalized = _fp32_of(file, folder)
    calibration, held_out = _images(fp32, image_folder)
    judge = answers_as_labels(fp32, held_out) if len(held_out) else None
    delivered = deliver(Source(fp32, calibration, judge, equalized), order, folder, tell)
    checked = [] if judge is None else [_check(artefact, judge) for artefact in delivered.artefacts]
    record: dict[str, Any] = {
        **delivered.record,
        "made_by": f"hkd-edge {__version__}",
        "source": {"file": file.name, "sha256": sha256_file(file)},
        "calibration_images": len(calibration),
        "agreement_with_fp32": [
            {"target": one.artefact.target, "precision": one.artefact.precision, "percent": one.agreement}
            for one in checked
        ],
        "compared_images": len(held_out),
    }
    write_json_atomically(folder / RECORD_NAME, record)
    _require_agreement(checked, order.max_drop)
    return delivered, checked


def _fp32_of(file: Path, folder: Path) -> tuple[Path, Callable[[Path], Path] | None]:
    """The fp32 ONNX file, and what writes the equalized one if there are torch weights to equalize."""
    if file.suffix == ".pt":
        student = read_student(file)
        folder.mkdir(parents=True, exist_ok=True)
        return (
            to_onnx(student.network, student.spec, folder / "student.onnx"),
            lambda path: to_onnx(equalize(student.network), student.spec, path),
        )
    lint_fp32(file)
    return file, None


def _images(fp32: Path, folder: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images to calibrate and to compare by, uint8 (N, H, W, C) each."""
    spec = _input_spec(fp32)
    if folder is None:
        return np.empty((0, *spec.shape), np.uint8), np.empty((0, *spec.shape), np.uint8)
    files = _image_files(folder)
    if len(files) < 2:
        raise DataError(
            f"{folder}: expected at least 2 images ({', '.join(_SUFFIXES)}), got {len(files)}. Half of them calibrate "
            "int8, the others compare: give a folder with some of the training images, about 600."
        )
    order = np.random.default_rng(_SEED).permutation(len(files))
    half = min(len(files) // 2, CALIBRATION_IMAGES)
    pixels = to_batch([files[index] for index in order], spec)
    return pixels[:half], pixels[half:]


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of images, got {'a file' if folder.exists() else 'nothing'}.")
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES)


def _input_spec(fp32: Path) -> InputSpec:
    (image,) = (value for value in read_onnx(fp32).graph.input if value.name == INPUT)
    height, width, channels = (size.dim_value for size in image.type.tensor_type.shape.dim[1:])
    return InputSpec(height, width, channels, color="grey" if channels == 1 else "rgb")


def _check(artefact: Artefact, judge: Images) -> Checked:
    score = judge.score(artefact)
    return Checked(artefact, score.top1, score.images)


def _require_agreement(checked: Sequence[Checked], max_drop: float) -> None:
    wrong = [one for one in checked if one.agreement < _limit(one.artefact, one.images, max_drop)]
    if wrong:
        told = "; ".join(f"{one.artefact.target} {one.artefact.precision}: {one.agreement:.2f} %" for one in wrong)
        raise GateError(
            f"expected files that answer like the fp32 file, got agreement on {told} of {wrong[0].images} images. "
            f"They are in their folders, not to be used; see {RECORD_NAME}."
        )


def _limit(artefact: Artefact, images: int, max_drop: float) -> float:
    """The least agreement in percent; one image may always turn, as in a small set that is more than the limit."""
    return min(least_agreement(artefact.precision, images, 100 - max_drop), 100 - 100 / images) - 1e-9
