"""Stage `export`: the student as ONNX and OpenVINO files in every precision of the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.dataset import ImageSet, class_balanced
from hkd_edge.evaluate.artefacts import Artefact, answer, top1_percent
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage
from hkd_edge.stages.distill import load_student
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.spec import ExportSpec
from hkd_edge_export.to_onnx import to_onnx
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_runtime.files import write_json_atomically

FOLDER = "artefacts"
RECORD_FILE = f"{FOLDER}/export.json"


@dataclass(frozen=True)
class Int8Trial:
    """One way of quantizing and what it gave on the validation images, in percent."""

    bias_correction: bool
    validation_top1: float


def export_spec(context: Context) -> ExportSpec:
    """What a deployed classifier of this run needs beside its weights."""
    facts = context.read_json("data/data.json")
    height, width, channels = facts["image_shape"]
    return ExportSpec(height, width, channels, tuple(facts["mean"]), tuple(facts["std"]), context.hierarchy())


def artefacts(context: Context) -> list[Artefact]:
    """The files of this stage, one artefact for each target and precision of the recipe, fp32 first."""
    suffix = {"onnxruntime": ".onnx", "openvino": ".xml"}
    folder = context.run / FOLDER
    return [
        Artefact(target, precision, folder / target / f"{precision}{suffix[target]}")
        for target in context.recipe.export.targets
        for precision in sorted(context.recipe.export.precisions)
    ]


def _inputs(context: Context) -> Mapping[str, Any]:
    recipe = context.recipe
    return {
        "seed": recipe.seed,
        "student": recipe.student.model_dump(),
        "export": recipe.export.model_dump(),
    }


def _run(context: Context, key: str) -> list[Path]:
    recipe, folder = context.recipe, context.run / FOLDER
    onnx_folder, openvino_folder = folder / "onnxruntime", folder / "openvino"
    onnx_folder.mkdir(parents=True, exist_ok=True)
    openvino_folder.mkdir(exist_ok=True)
    record: dict[str, Any] = {"opset": recipe.export.opset}
    fp32 = onnx_folder / "fp32.onnx"
    to_onnx(load_student(context).cpu(), export_spec(context), fp32, opset=recipe.export.opset)
    files = [fp32]
    if "int8" in recipe.export.precisions:
        record["int8"] = _quantize(context, fp32, onnx_folder / "int8.onnx")
        files.append(onnx_folder / "int8.onnx")
    if "openvino" in recipe.export.targets:
        for onnx in list(files):
            xml = to_openvino(onnx, openvino_folder / f"{onnx.stem}.xml")
            files += [xml, xml.with_suffix(".bin")]
    write_json_atomically(context.run / RECORD_FILE, record)
    return [*files, context.run / RECORD_FILE]


def _quantize(context: Context, fp32: Path, int8: Path) -> dict[str, Any]:
    """Makes the INT8 file, with or without bias correction, whichever validation images prefer."""
    split, train = context.split(), context.dataset.train
    calibration, indices = _calibration_images(context)
    validation = train.take(split.validation)
    trials: list[Int8Trial] = []
    for bias_correction in (False, True):
        context.reporter.work("quantize: trials", len(trials), 2)
        quantize_int8(fp32, _trial_path(int8, bias_correction), calibration, bias_correction=bias_correction)
        trials.append(Int8Trial(bias_correction, _validation_top1(_trial_path(int8, bias_correction), validation)))
    # Of equals the first is kept: without bias correction, the simpler file.
    best = max(trials, key=lambda trial: trial.validation_top1)
    for trial in trials:
        path = _trial_path(int8, trial.bias_correction)
        if trial == best:
            path.replace(int8)
        else:
            path.unlink()
    told = ", ".join(
        f"{'with' if t.bias_correction else 'without'} bias correction {t.validation_top1:.2f} %" for t in trials
    )
    context.reporter.note("export", f"int8 on validation images: {told}")
    return {
        "bias_correction": best.bias_correction,
        "trials": [vars(trial) for trial in trials],
        "calibration_images": indices.tolist(),
    }


def _calibration_images(context: Context) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Class-balanced training images (none of validation), and their indices in the data set's training images."""
    split, train = context.split(), context.dataset.train
    count = context.recipe.export.calibration_images
    indices = split.train[class_balanced(train.labels[split.train], count, context.recipe.seed)]
    return train.images[indices], indices


def _trial_path(int8: Path, bias_correction: bool) -> Path:
    return int8.with_name(f"trial_{'with' if bias_correction else 'without'}_bias_correction.onnx")


def _validation_top1(path: Path, validation: ImageSet) -> float:
    answers = answer(Artefact("onnxruntime", "int8", path), validation.images)
    return top1_percent(answers.logits, validation.labels)


EXPORT = Stage(
    "export",
    _inputs,
    ("data", "concepts", "distill"),
    ("hkd_edge_export", "hkd_edge_runtime", "data", "models", "stages/export"),
    _run,
)
