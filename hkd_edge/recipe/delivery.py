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


class Selective(Section):
    """When an answer is sure enough to be given on the board (`label_or_concept`); validation images set thresholds."""

    accuracy: float = key(99.0, "Percent of the answers given that must be right.", typical="95 to 99.5", ge=50, lt=100)
    confidence_level: float = key(
        95.0,
        "Percent of certainty, for each threshold, that they are; a higher one leaves more images unanswered.",
        typical="90 to 99",
        gt=0,
        lt=100,
    )


class Validate(Section):
    """Gates: what artefacts must hold, or the run fails; those of accuracy are judged on the validation images."""

    max_top1_drop: float = key(
        0.5,
        "Largest loss of top-1 accuracy, in percentage points; export tries ways to int8 until one holds.",
        typical="0.2 to 1",
        ge=0,
    )
    max_class_drop: float = key(
        5.0,
        "Largest loss of accuracy in any one class, in percentage points; one or two lost images never fail it.",
        typical="2 to 10",
        ge=0,
    )
    min_agreement: float = key(
        98.0,
        "Smallest share of images that int8 answers like the student does, in percent.",
        typical="97 to 99.5",
        ge=0,
        le=100,
    )
    min_cross_agreement: float = key(
        97.0,
        "Smallest share of images that two runtimes answer alike in the same precision, in percent.",
        typical="95 to 99.5",
        ge=0,
        le=100,
    )
    max_p95_ms: float | None = key(
        None, "Largest 95th percentile of the latency of one image, of what ships; null = no limit.", gt=0
    )
    max_size_bytes: int | None = key(None, "Largest size of the files of what ships; null = no limit.", ge=1)
    max_rss_mb: float | None = key(
        None, "Largest resident memory of a process after its first answer, of what ships; null = no limit.", gt=0
    )
    int8_must_be_faster: bool = key(True, "Whether an int8 file that is slower than float ones is held back.")
    latency_runs: int = key(300, "Timed runs of each artefact.", typical="200 to 2000", ge=1)
    threads: int = key(1, "Threads that an artefact may use while it is timed.", typical="1 to 4", ge=1)
    batches: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(strict=False)] = key(
        (64,), "Numbers of images that are timed too, beside one.", typical="[8, 64]"
    )
    starts: int = key(1, "Fresh processes that measure load time and memory of each artefact.", typical="1 to 5", ge=1)
    selective: Selective = key(Selective(), "When an answer is sure enough.")


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
