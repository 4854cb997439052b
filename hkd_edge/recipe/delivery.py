"""The sections of a recipe that say what is made from the trained student: files, gates, bundle."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hkd_edge.recipe.section import Section, key

Target = Literal["onnxruntime", "openvino", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8"]


class TensorRt(Section):
    """What TensorRT's engines are built for."""

    min_batch: int = key(1, "Smallest batch that an engine takes.", typical="1", ge=1)
    opt_batch: int = key(1, "Batch that an engine is tuned for.", typical="1 to 64", ge=1)
    max_batch: int = key(64, "Largest batch that an engine takes.", typical="1 to 256", ge=1)
    compute_capabilities: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = key(
        ("8.0", "8.6", "8.9", "12.0"),
        "Compute capabilities of the GPUs that TensorRT-RTX builds for without a GPU; TensorRT takes the GPU at hand.",
    )


class FineTuning(Section):
    """Quantization-aware training, the last resort for int8: the losses of `distill`, with the rounding of int8."""

    epochs: int = key(2, "Passes over the training images.", typical="1 to 10", ge=1)
    learning_rate: float = key(0.001, "Peak learning rate, far below training's.", typical="0.0003 to 0.003", gt=0)


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
    tensorrt: TensorRt = key(TensorRt(), "TensorRT's engines.")
    fine_tuning: FineTuning = key(FineTuning(), "The training by which int8 is mended where nothing else does.")


class Validate(Section):
    """What an artefact must hold to be shipped."""

    max_top1_drop: float = key(
        0.5,
        "Largest loss of top-1 accuracy against fp32, in percentage points; export tries ways to int8 until one holds.",
        typical="0.2 to 1",
        ge=0,
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
    throughput_batch: int = key(64, "Images of the larger batch that is timed too.", typical="8 to 64", ge=1)


class Bundle(Section):
    """What is put beside the artefacts."""

    golden_images: int = key(
        16, "Images whose expected answers are kept for `verify` on the board.", typical="8 to 64", ge=1
    )
    evaluation_images: int = key(
        200,
        "Labelled test images, as many of each class, by which `bench` measures accuracy on the board; 0 = none.",
        typical="100 to 1000",
        ge=0,
    )
