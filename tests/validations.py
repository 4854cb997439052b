"""A validation that was never measured, with arrays that fit it, for tests of what reads validations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd_edge.evaluate.result import (
    Accuracy,
    Cross,
    Decided,
    Difference,
    File,
    Gate,
    Interval,
    Machine,
    Reference,
    Row,
    Validation,
)
from hkd_edge_runtime.cold import ColdStart
from hkd_edge_runtime.confidence import Confidence, OperatingPoint
from hkd_edge_runtime.hierarchy import Axis, Hierarchy
from hkd_edge_runtime.turns import timing_of

HIERARCHY = Hierarchy(
    ("shirt", "coat", "sandal", "boot"),
    (Axis("group", ("tops", "footwear"), (0, 0, 1, 1)), Axis("sleeves", ("long",), (-1, 0, -1, -1))),
)
IMAGES = 200
_ARTEFACTS = (("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("openvino", "int8"), ("tensorrt", "int8"))


def drawn_validation(seed: int = 0, errors: float = 0.1) -> tuple[Validation, dict[str, NDArray[Any]]]:
    """A passed validation of four artefacts on 200 images, and its arrays; about `errors` of the answers are wrong."""
    draw = np.random.default_rng(seed)
    labels = np.arange(IMAGES) % 4  # the same whatever the seed, as test images are
    answers = np.where(draw.random(IMAGES) < errors, (labels + 1) % 4, labels)
    logits = (draw.normal(0, 0.5, (IMAGES, 4)) + 4 * np.eye(4)[answers]).astype(np.float32)
    arrays: dict[str, NDArray[Any]] = {"labels": labels.astype(np.int64), "reference": logits}
    seconds = {}
    for target, precision in _ARTEFACTS:
        noise = 0.3 if precision == "int8" else 0.0
        arrays[f"{target}-{precision}"] = (logits + draw.normal(0, 1, logits.shape) * noise).astype(np.float32)
        if target != "tensorrt":
            for batch in (1, 64):
                key = f"seconds-{target}-{precision}-{batch}"
                arrays[key] = seconds[key] = draw.gamma(20, 1e-5 * batch / 20, 100)
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)
    arrays["mistakes"] = wrong
    arrays["mistake_images"] = draw.integers(0, 256, (len(wrong), 8, 8, 1), dtype=np.uint8)
    arrays["concept_teacher"] = draw.dirichlet((1, 1, 1), IMAGES).astype(np.float32)
    rows = tuple(_row(target, precision, arrays) for target, precision in _ARTEFACTS)
    validation = Validation(
        name="drawn",
        subject="run",
        images="200 drawn test images",
        fingerprint="ab" * 32,
        hierarchy=HIERARCHY,
        reference=Reference("torch student", accuracy(logits, labels), accuracy(logits, labels)),
        rows=rows,
        cross_agreement=(Cross("int8", ("onnxruntime", "openvino"), 98.5),),
        gates=(
            Gate("max_top1_drop", "onnxruntime int8", "passed", "<= 0.5 points", "0.1 points", "20 validation images"),
            Gate("min_agreement", "onnxruntime int8", "passed", ">= 98 %", "99.5 %", "20 validation images"),
            Gate("max_p95_ms", "tensorrt int8", "skipped", "<= 5 ms", "tensorrt cannot run here"),
            Gate("int8_must_be_faster", "openvino int8", "held_back", "faster than fp32", "0.91x the speed of fp32"),
        ),
        verdict="passed",
        machine=Machine(
            {"cpu": "2 x a drawn processor", "python": "3.11.7"},
            2,
            ("avx2",),
            {"onnxruntime": "1.32.0", "openvino": "2026.3.0"},
            {"onnxruntime": "fp32", "openvino": "f32"},
            1,
        ),
        parameters=12345,
    )
    return validation, arrays


def accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Accuracy:
    """What these logits come to; the interval and the calibration error are made up."""
    right = logits.argmax(axis=1) == labels
    top1 = 100 * float(right.mean())
    classes = {name: 100 * float(right[labels == index].mean()) for index, name in enumerate(HIERARCHY.classes)}
    concepts = {"group": 97.5, "sleeves": 100.0}
    return Accuracy(len(labels), top1, Interval(top1 - 2, top1 + 2), classes, concepts, 1.5, 98.75)


def _row(target: str, precision: str, arrays: dict[str, NDArray[Any]]) -> Row:
    logits, labels = arrays[f"{target}-{precision}"], arrays["labels"]
    here = target != "tensorrt"
    timings = [(batch, arrays[f"seconds-{target}-{precision}-{batch}"]) for batch in (1, 64) if here]
    difference = Difference(
        0.1, dict.fromkeys(HIERARCHY.classes, 2.0), dict.fromkeys(HIERARCHY.classes, 1), 99.5, 0.02, 0.3
    )
    return Row(
        target=target,
        precision=precision,
        runtime=f"{target} 1.0" if here else "onnxruntime 1.0 in the place of tensorrt",
        files=(File(f"artefacts/{target}/{precision}.onnx", "cd" * 32, 123_456),),
        size_bytes=123_456,
        test=accuracy(logits, labels),
        test_difference=difference,
        timings=tuple(timing_of(seconds.tolist(), batch) for batch, seconds in timings),
        accurate=True,
        shipped=here and precision == "int8",
        reason="1.50x the speed of fp32 at batch 1" if here else "not run on a GPU yet",
        choice=accuracy(logits, labels),
        choice_difference=difference,
        cold_start=ColdStart(80.0, 1.2, 3, 30_000_000, 60_000_000, 61_000_000) if here else None,
        confidence=Confidence(0.9, 99.0, 95.0, 20, {}, OperatingPoint(0.8, 90.0, 99.5)),
        decided=Decided(IMAGES, 90.0, 5.0, 5.0, 99.1, None),
        calibrated_error=0.8,
    )
