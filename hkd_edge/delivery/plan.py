"""The targets: what they are called, which precisions they get, and what their files are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hkd_edge.evaluate.artefacts import Artefact
from hkd_edge.recipe.delivery import Precision, Target

PRECISIONS: dict[Target, tuple[Precision, ...]] = {
    # Not fp16: its kernels for the CPU widen FP16 to fp32 before they compute, so such a file would only be slower.
    "onnxruntime": ("fp32", "int8"),
    "openvino": ("fp32", "fp16", "int8"),
    "tensorrt": ("fp32", "fp16", "int8"),
}
_SUFFIXES: dict[Target, str] = {"onnxruntime": ".onnx", "openvino": ".xml", "tensorrt": ".onnx"}


def planned(targets: Iterable[Target], precisions: Sequence[Precision], folder: Path) -> list[Artefact]:
    """The artefacts of the targets, by target in the order given and fp32 first, each with its place below `folder`."""
    return [
        artefact_at(folder, target, precision)
        for target in targets
        for precision in PRECISIONS[target]
        if precision in precisions
    ]


def artefact_at(folder: Path, target: Target, precision: Precision) -> Artefact:
    """The artefact of a target and a precision, wherever `folder` is."""
    return Artefact(target, precision, folder / target / f"{precision}{_SUFFIXES[target]}")


def without_kernels(targets: Iterable[Target], precisions: Iterable[Precision]) -> list[str]:
    """What of the combinations is not made, as sentences."""
    return [
        f"{target} gets no {precision}: it would compute it no faster than fp32"
        for target in targets
        for precision in precisions
        if precision not in PRECISIONS[target]
    ]
