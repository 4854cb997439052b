"""Stage `validate`: every artefact on its own runtime, against the torch student and against fp32."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.dataset import ImageSet
from hkd_edge.errors import GateError
from hkd_edge.evaluate.artefacts import (
    Artefact,
    Latency,
    agreement_percent,
    answer,
    measure_latency,
    runs_here,
    runtime_title,
)
from hkd_edge.evaluate.metrics import predict_logits
from hkd_edge.evaluate.reliability import calibration_error_percent
from hkd_edge.evaluate.selective import calibrate, measure_decisions
from hkd_edge.evaluate.verdict import Measured, Verdict, judge
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage
from hkd_edge.stages.distill import load_student
from hkd_edge.stages.export import artefacts
from hkd_edge_runtime.backends import Outputs, backend_class
from hkd_edge_runtime.confidence import Confidence
from hkd_edge_runtime.decision import temper
from hkd_edge_runtime.evaluation import concept_accuracy_percent, top1_percent
from hkd_edge_runtime.files import write_json_atomically
from hkd_edge_runtime.strict import encode

RESULT_FILE = "validation.json"
_THROUGHPUT_SHARE = 10


@dataclass(frozen=True)
class Row:
    """One artefact.

    Accuracies are percent of the `images` test images, `validation_*` of the validation images; `agreement` is with
    the torch student, `default_precision_agreement` for float files where OpenVINO chooses the precision itself.
    Latency is that of one image, `batch_*` that of `latency.throughput_batch` images, None where the target cannot run;
    `runtime` says what computed the answers. `accurate` = may be used at all.
    `confidence` is what the manifest gets, by validation images; `decisions` is what came of it on the test images,
    and `calibration_error` their expected calibration error by the model's own scores and by the tempered ones.
    """

    target: str
    runtime: str
    precision: str
    images: int
    top1: float
    concept_top1: float | None
    concept_accuracy: dict[str, float]
    agreement: float
    default_precision_agreement: float | None
    max_logit_error: float
    validation_top1: float
    validation_agreement: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    batch_p50_ms: float | None
    size_bytes: int
    confidence: dict[str, Any]
    decisions: dict[str, float | None]
    calibration_error: float
    calibrated_error: float
    accurate: bool
    shipped: bool
    reason: str


@dataclass(frozen=True)
class _Answers:
    test: Outputs
    validation: Outputs
    default_precision: Outputs | None


@dataclass(frozen=True)
class _Latencies:
    single: Latency
    batch: Latency


def _inputs(context: Context) -> Mapping[str, Any]:
    return {"validate": context.recipe.validation.model_dump(), "machine": _machine(context)}


def _run(context: Context, key: str) -> list[Path]:
    gates, files = context.recipe.validation, artefacts(context)
    validation = context.dataset.train.take(context.split().validation)
    test = context.dataset.test
    student = _student_logits(context)
    answers = [_answer_both(context, artefact, test, validation) for artefact in files]
    latencies = _latencies(context, files)
    measured = [
        _measure(artefact, each, validation, student["validation"], latency)
        for artefact, each, latency in zip(files, answers, latencies, strict=True)
    ]
    student_validation = top1_percent(student["validation"], validation.labels)
    confidences = [
        calibrate(each.validation.logits, validation.labels, context.hierarchy(), gates.selective) for each in answers
    ]
    verdicts = judge(measured, student_validation, gates)
    rows = [
        _row(context, artefact, each, student["test"], latency, confidence, judged, verdict)
        for artefact, each, latency, confidence, judged, verdict in zip(
            files, answers, latencies, confidences, measured, verdicts, strict=True
        )
    ]
    result = {
        "rows": [asdict(row) for row in rows],
        "student": {
            "top1": top1_percent(student["test"], test.labels),
            "validation_top1": student_validation,
            "images": len(test),
            "validation_images": len(validation),
        },
        "cross_agreement": _cross_agreement(files, answers),
        "latency": {
            "runs": gates.latency_runs,
            "threads": gates.threads,
            "batch": 1,
            "throughput_batch": gates.throughput_batch,
            "throughput_runs": _throughput_runs(context),
            "interleaved": True,
        },
        "machine": _machine(context),
    }
    write_json_atomically(context.run / RESULT_FILE, result)
    _require_shipped(rows)
    return [context.run / RESULT_FILE]


def _student_logits(context: Context) -> dict[str, NDArray[np.float32]]:
    """Logits of the torch student in fp32 on test and validation images."""
    student, data = load_student(context), context.resident
    return {
        "test": predict_logits(student, data.test.images, data.normalize).cpu().numpy(),
        "validation": predict_logits(student, data.validation.images, data.normalize).cpu().numpy(),
    }


def _latencies(context: Context, files: Sequence[Artefact]) -> list[_Latencies | None]:
    """For each artefact, of one image and of a batch; None for one that cannot run here."""
    gates, images, work = context.recipe.validation, context.dataset.test.images, context.reporter.work
    timed = [artefact for artefact in files if runs_here(artefact.target)]
    single = measure_latency(
        timed,
        images,
        runs=gates.latency_runs,
        threads=gates.threads,
        on_run=lambda done, total: work("latency, artefacts in turn", done, total),
    )
    batches = measure_latency(
        timed,
        images,
        runs=_throughput_runs(context),
        threads=gates.threads,
        batch=gates.throughput_batch,
        on_run=lambda done, total: work(f"latency of {gates.throughput_batch} images", done, total),
    )
    found = dict(zip(timed, map(_Latencies, single, batches), strict=True))
    return [found.get(artefact) for artefact in files]


def _throughput_runs(context: Context) -> int:
    """Fewer runs than of one image: a batch takes many times as long, and averages over its images."""
    return max(1, context.recipe.validation.latency_runs // _THROUGHPUT_SHARE)


def _answer_both(context: Context, artefact: Artefact, test: ImageSet, validation: ImageSet) -> _Answers:
    title = f"{artefact.target} {artefact.precision}"
    return _Answers(
        answer(artefact, test.images, lambda done, n: context.reporter.work(f"{title}, test images", done, n)),
        answer(
            artefact,
            validation.images,
            lambda done, n: context.reporter.work(f"{title}, validation", done, n),
        ),
        answer(artefact, test.images, forced_f32=False) if _may_choose_precision(artefact) else None,
    )


def _may_choose_precision(artefact: Artefact) -> bool:
    """Whether the runtime may compute floats in less than fp32 unless told otherwise, as OpenVINO does in bf16."""
    return artefact.target == "openvino" and artefact.precision != "int8"


def _measure(
    artefact: Artefact,
    answers: _Answers,
    validation: ImageSet,
    student: NDArray[np.float32],
    latency: _Latencies | None,
) -> Measured:
    return Measured(
        artefact.target,
        artefact.precision,
        top1_percent(answers.validation.logits, validation.labels),
        agreement_percent(answers.validation.logits, student),
        latency.single.p50_ms if latency else None,
    )


def _row(
    context: Context,
    artefact: Artefact,
    answers: _Answers,
    student: NDArray[np.float32],
    latency: _Latencies | None,
    confidence: Confidence,
    measured: Measured,
    verdict: Verdict,
) -> Row:
    test, default = context.dataset.test, answers.default_precision
    hierarchy, logits = context.hierarchy(), answers.test.logits
    concepts = concept_accuracy_percent(answers.test.concept_probabilities, test.labels, hierarchy)
    return Row(
        target=artefact.target,
        runtime=runtime_title(artefact.target),
        precision=artefact.precision,
        images=len(test),
        top1=top1_percent(answers.test.logits, test.labels),
        concept_top1=sum(concepts.values()) / len(concepts) if concepts else None,
        concept_accuracy=concepts,
        agreement=agreement_percent(answers.test.logits, student),
        default_precision_agreement=agreement_percent(default.logits, student) if default else None,
        max_logit_error=float(np.abs(answers.test.logits - student).max()),
        validation_top1=measured.validation_top1,
        validation_agreement=measured.validation_agreement,
        p50_ms=latency.single.p50_ms if latency else None,
        p90_ms=latency.single.p90_ms if latency else None,
        p99_ms=latency.single.p99_ms if latency else None,
        batch_p50_ms=latency.batch.p50_ms if latency else None,
        size_bytes=artefact.size_bytes,
        confidence=encode(confidence),
        decisions=asdict(measure_decisions(logits, test.labels, hierarchy, confidence)),
        calibration_error=calibration_error_percent(answers.test.probabilities, test.labels),
        calibrated_error=calibration_error_percent(temper(logits, confidence.temperature), test.labels),
        accurate=verdict.accurate,
        shipped=verdict.shipped,
        reason=verdict.reason,
    )


def _cross_agreement(files: Sequence[Artefact], answers: Sequence[_Answers]) -> list[dict[str, Any]]:
    """Percent of the test images on which two runtimes answer alike, for each precision that several have."""
    pairs = []
    for first, one in enumerate(files):
        for second in range(first + 1, len(files)):
            other = files[second]
            if one.precision == other.precision:
                percent = agreement_percent(answers[first].test.logits, answers[second].test.logits)
                pairs.append({"precision": one.precision, "targets": [one.target, other.target], "agreement": percent})
    return pairs


def _machine(context: Context) -> dict[str, Any]:
    targets = context.recipe.export.targets
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "runtimes": {target: backend_class(target)().version() for target in targets if runs_here(target)},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _require_shipped(rows: Sequence[Row]) -> None:
    here = {row.target for row in rows if runs_here(row.target)}
    if not here:
        raise GateError(
            "expected an artefact whose runtime runs here, got none, so nothing could be validated. "
            "Add onnxruntime or openvino to recipe.export.targets."
        )
    # What was measured in another runtime's place is not shipped, but may not be wrong either.
    wrong = {row.target for row in rows if not runs_here(row.target)} - {row.target for row in rows if row.accurate}
    without = sorted((here - {row.target for row in rows if row.shipped}) | wrong)
    if without:
        reasons = "; ".join(f"{row.target} {row.precision}: {row.reason}" for row in rows if row.target in without)
        raise GateError(
            f"expected an artefact good enough to ship for every target, got none for {', '.join(without)} "
            f"({reasons}). See {RESULT_FILE}; train longer or loosen recipe.validate."
        )


VALIDATE = Stage(
    "validate",
    _inputs,
    ("data", "concepts", "distill", "export"),
    ("evaluate", "hkd_edge_runtime", "stages/validate"),
    _run,
)
