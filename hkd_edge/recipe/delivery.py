"""The sections of a recipe that say what is made from the trained student: files, gates, bundle."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hkd_edge.recipe.section import Section, key

Target = Literal["onnxruntime", "openvino"]
Precision = Literal["fp32", "int8"]


class Export(Section):
    """The files that are made from the student."""

    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1)] = key(
        ("onnxruntime", "openvino"), "Runtimes to make files for."
    )
    precisions: Annotated[tuple[Precision, ...], Field(strict=False, min_length=1)] = key(
        ("fp32", "int8"),
        "Number formats; fp32 is required, since int8 is made from it and judged against it.",
    )
    opset: int = key(20, "ONNX opset of the files.", ge=20, le=20)
    calibration_images: int = key(
        300, "Training images from which the ranges of int8 are measured.", typical="100 to 1000", ge=0
    )


class Validate(Section):
    """What an artefact must hold to be shipped."""

    max_top1_drop: float = key(
        0.5, "Largest loss of top-1 accuracy against fp32, in percentage points.", typical="0.2 to 1", ge=0
    )
    min_agreement: float = key(
        98.0,
        "Smallest share of images answered like fp32 does, in percent.",
        typical="97 to 99.5",
        ge=0,
        le=100,
    )
    int8_must_be_faster: bool = key(True, "Whether an int8 file that is slower than fp32 is held back.")
    latency_runs: int = key(300, "Timed runs of each artefact.", typical="200 to 2000", ge=1)
    threads: int = key(1, "Threads that an artefact may use while it is timed.", typical="1 to 4", ge=1)


class Bundle(Section):
    """What is put beside the artefacts."""

    golden_images: int = key(
        16, "Images whose expected answers are kept for `verify` on the board.", typical="8 to 64", ge=1
    )
