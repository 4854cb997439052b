"""Stage `export`: the student's files for every target and precision of the recipe, and how int8 came about."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.dataset import class_balanced
from hkd_edge.delivery.files import RECORD_NAME, Order, deliver, recorded_artefacts
from hkd_edge.delivery.source import Images, Source
from hkd_edge.distill.equalize import equalize
from hkd_edge.distill.fake_quant import insert_fake_quant, remove_fake_quant
from hkd_edge.distill.student import DistillTask
from hkd_edge.evaluate.artefacts import TENSORRT, Artefact
from hkd_edge.recipe.schema import Distill
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage
from hkd_edge.stages.distill import export_spec, load_student, teachers_of
from hkd_edge.stages.teach import TRAINING_CODE, train
from hkd_edge_export.to_onnx import to_onnx
from hkd_edge_export.to_tensorrt import usable_title
from hkd_edge_runtime.files import write_json_atomically

FOLDER = "artefacts"
RECORD_FILE = f"{FOLDER}/{RECORD_NAME}"
_GATES = {"max_top1_drop", "max_class_drop", "min_agreement"}  # those that int8 is chosen by
_JUDGING_CODE = ("evaluate/artefacts", "evaluate/accuracy", "evaluate/gates")
_SOURCE_FILE = f"{FOLDER}/student.onnx"


def artefacts(context: Context) -> list[Artefact]:
    """The artefacts that this stage has made, by target in the recipe's order, fp32 first."""
    return recorded_artefacts(context.read_json(RECORD_FILE), context.run / FOLDER)


def _inputs(context: Context) -> Mapping[str, Any]:
    recipe = context.recipe
    return {
        "seed": recipe.seed,
        "student": recipe.student.model_dump(),
        "distill": recipe.distill.model_dump(),
        "augment": recipe.augment.model_dump(),
        "export": recipe.export.model_dump(),
        "gates": recipe.validation.model_dump(include=_GATES),
        "tensorrt": usable_title() if TENSORRT in recipe.export.targets else None,
    }


def _run(context: Context, key: str) -> list[Path]:
    recipe, folder = context.recipe, context.run / FOLDER
    folder.mkdir(exist_ok=True)
    calibration, indices = _calibration_images(context)
    validation = context.dataset.train.take(context.split().validation)
    source = Source(
        _export(context, load_student(context), context.run / _SOURCE_FILE),
        calibration,
        Images(validation.images, validation.labels),
        equalized=lambda path: _export(context, equalize(load_student(context).cpu()), path),
        fine_tuned=functools.partial(_fine_tuned, context, key, calibration),
    )
    order = Order(
        recipe.export.targets,
        recipe.export.precisions,
        recipe.validation.max_top1_drop,
        recipe.export.tensorrt,
        recipe.validation,
    )
    made = deliver(source, order, folder, lambda line: context.reporter.note("export", line))
    record = {"opset": recipe.export.opset, **made.record, "calibration_images": indices.tolist()}
    write_json_atomically(context.run / RECORD_FILE, record)
    files = [file for artefact in made.artefacts for file in artefact.files]
    return [source.fp32, *files, *made.extra, context.run / RECORD_FILE]


def _export(context: Context, network: Any, path: Path) -> Path:
    return to_onnx(network, export_spec(context), path, opset=context.recipe.export.opset)


def _calibration_images(context: Context) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Class-balanced training images (none of validation), and their indices in the data set's training images."""
    split, train = context.split(), context.dataset.train
    count = context.recipe.export.calibration_images
    indices = split.train[class_balanced(train.labels[split.train], count, context.recipe.seed)]
    return train.images[indices], indices


def _fine_tuned(context: Context, key: str, calibration: NDArray[np.uint8], path: Path) -> Path:
    """The fp32 file of the student after quantization-aware training by the recipe's losses and teachers."""
    import torch

    student, data = load_student(context), context.resident
    images = torch.from_numpy(calibration).to(context.device)
    quantized = insert_fake_quant(student, [data.normalize(images)])
    settings = _fine_tuning(context)
    task = DistillTask(quantized, data, context.hierarchy(), settings, teachers_of(context), "fp32")
    train(context, "export", "fine_tuned", task, settings.training, key)
    return _export(context, remove_fake_quant(quantized, student), path)


def _fine_tuning(context: Context) -> Distill:
    """The recipe's distillation as a short training at a small learning rate, on images of the full size."""
    distill, short = context.recipe.distill, context.recipe.export.fine_tuning
    training = distill.training.model_copy(
        update={
            "epochs": short.epochs,
            "learning_rate": short.learning_rate,
            "progressive_fraction": 0.0,
        }
    )
    # Layers that exist in training only were not kept; new ones would pull the student about while it learns.
    weights = distill.weights.model_copy(update={"embedding": 0.0, "subclass": 0.0})
    if not any(weights.model_dump().values()):
        weights = weights.model_copy(update={"ce": 1.0})
    return distill.model_copy(update={"training": training, "weights": weights})


EXPORT = Stage(
    "export",
    _inputs,
    ("data", "concepts", "teach", "distill"),
    (
        "hkd_edge_export",
        "hkd_edge_runtime",
        "delivery",
        *TRAINING_CODE,
        "evaluate/artefacts",
        "evaluate/gates",
        "stages/export",
    ),
    _run,
)
