"""Stage `bundle`: the artefacts that validation found accurate, with golden images and provenance, for the board."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hkd_edge.data.dataset import class_balanced
from hkd_edge.data.fit import input_spec
from hkd_edge.evaluate.artefacts import TENSORRT, Artefact
from hkd_edge.evaluate.result import Row, Validation, read_validation
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage
from hkd_edge.stages.distill import export_spec
from hkd_edge.stages.export import RECORD_FILE, artefacts
from hkd_edge_export.bundle import ArtefactSource, BundleDescription, write_bundle
from hkd_edge_runtime import __version__
from hkd_edge_runtime.evaluation import EvaluationSet
from hkd_edge_runtime.strict import encode
from hkd_edge_runtime.tensorrt.record import BatchProfile

FOLDER = "bundle"
_PACKAGES = ("torch", "onnx", "onnxscript", "nncf", "onnxruntime", "openvino", "numpy")


def _inputs(context: Context) -> Mapping[str, Any]:
    recipe = context.recipe
    return {"name": recipe.name, "seed": recipe.seed, "bundle": recipe.bundle.model_dump()}


def _run(context: Context, key: str) -> list[Path]:
    validation = read_validation(context.run)
    spec = export_spec(context)
    split, train = context.split(), context.dataset.train
    golden = split.validation[
        class_balanced(train.labels[split.validation], context.recipe.bundle.golden_images, context.recipe.seed)
    ]
    sources = tuple(
        _source(context, artefact, row) for artefact, row in zip(artefacts(context), validation.rows, strict=True)
    )
    description = BundleDescription(
        name=context.recipe.name,
        input=input_spec((spec.height, spec.width, spec.channels)),
        hierarchy=spec.hierarchy,
        artefacts=sources,
        golden_images=train.images[golden],
        metrics={"student_top1": validation.reference.test.top1, "test_images": validation.reference.test.images},
        provenance=_provenance(context, validation),
        evaluation=_evaluation(context),
    )
    folder = context.run / FOLDER
    report = write_bundle(folder, description, threads=context.recipe.validation.threads)
    told = f"{len(report.checked)} of {len(sources)} artefacts verified"
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    context.reporter.note("bundle", f"{told} on {len(golden)} images, {size / 1e3:.0f} kB")
    return [file for file in folder.rglob("*") if file.is_file()]


def _evaluation(context: Context) -> EvaluationSet | None:
    test = context.dataset.test
    drawn = test.take(class_balanced(test.labels, context.recipe.bundle.evaluation_images, context.recipe.seed))
    return EvaluationSet(drawn.images[:], drawn.labels) if len(drawn) else None


def _source(context: Context, artefact: Artefact, row: Row) -> ArtefactSource:
    batches = context.recipe.export.tensorrt
    profile = BatchProfile(batches.min_batch, batches.opt_batch, batches.max_batch)
    return ArtefactSource(
        *(artefact.target, artefact.precision, artefact.files, row.shipped, row.reason, _metrics(row)),
        profile=profile if artefact.target == TENSORRT else None,
        confidence=row.confidence,
    )


def _metrics(row: Row) -> dict[str, float]:
    """What the manifest tells of an artefact; figures that could not be measured here are left out."""
    metrics = {
        "top1": row.test.top1,
        "concept_top1": row.test.concept_mean,
        "agreement": row.test_difference.agreement,
        "validation_top1": row.choice.top1 if row.choice else None,
        "size_bytes": float(row.size_bytes),
    }
    for timing in row.timings:
        images = "" if timing.batch == 1 else f"_of_{timing.batch}"
        metrics |= {f"{name}{images}_ms": getattr(timing, f"{name}_ms") for name in ("p50", "p90", "p95", "p99")}
    return {name: value for name, value in metrics.items() if value is not None}


def _provenance(context: Context, validation: Validation) -> dict[str, Any]:
    """What the bundle was made from; no path of the machine that made it."""
    recipe = context.recipe.model_dump(mode="json", by_alias=True)
    recipe["data"].pop("root")
    recipe.pop("tracking")
    facts = context.read_json("data/data.json")
    return {
        "recipe": recipe,
        "data": {name: facts[name] for name in ("name", "source", "fingerprint", "images")},
        "hierarchy_measures": context.read_json("concepts/measures.json"),
        "export": context.read_json(RECORD_FILE),
        "machine": encode(validation.machine),
        "versions": {
            "hkd-edge": __version__,
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in _PACKAGES},
        },
    }


BUNDLE = Stage(
    "bundle",
    _inputs,
    ("data", "concepts", "export", "validate"),
    ("hkd_edge_export", "hkd_edge_runtime", "stages/bundle"),
    _run,
)
