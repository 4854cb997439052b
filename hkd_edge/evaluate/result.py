"""What a validation found: `validation.json`, and beside it the arrays of `answers.npz`.

Reports, comparisons and bundles read these two files and nothing of the code that made them. The arrays are, for N test
images, C classes and K concepts of all axes side by side:

labels                          (N,) int64, indices into `classes`
mistakes                        (M,) int64, indices of test images that the reference gets wrong, the surest first
mistake_images                  (M, H, W, Channels) uint8, these images
reference                       (N, C) float32, logits of `Validation.reference`
TARGET-PRECISION                (N, C) float32, logits of an artefact, say `onnxruntime-int8`
concept_teacher                 (N, K) float32, concept probabilities of the concept teacher; absent without one
task_teacher                    (N, C) float32, logits of the task teacher; absent without one
seconds-TARGET-PRECISION-BATCH  (runs,) float64, the time of each call; absent for what was not timed
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hkd_edge.errors import RunDirectoryError
from hkd_edge_runtime import __version__
from hkd_edge_runtime.arrays import read_arrays
from hkd_edge_runtime.cold import ColdStart
from hkd_edge_runtime.confidence import Confidence
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.files import write_atomically, write_json_atomically
from hkd_edge_runtime.hierarchy import Hierarchy
from hkd_edge_runtime.strict import decode, encode
from hkd_edge_runtime.turns import Timing

RESULT_FILE = "validation.json"
ARRAYS_FILE = "answers.npz"
FORMAT = "hkd-edge-validation"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Interval:
    """The two ends of a 95 % confidence interval, in percent."""

    low: float
    high: float


@dataclass(frozen=True)
class Accuracy:
    """How right a set of answers is, in percent of `images`.

    Attributes:
        top1_interval: Wilson's, for top1.
        classes: accuracy by class, of the images of that class; classes without images are left out.
        concepts: accuracy by axis, of the images on whose class the axis speaks.
        concept_mean: the mean over the axes; None without axes.
        calibration_error: expected calibration error in points, of the answers' own scores.
    """

    images: int
    top1: float
    top1_interval: Interval
    classes: Mapping[str, float]
    concepts: Mapping[str, float]
    calibration_error: float
    concept_mean: float | None = None


@dataclass(frozen=True)
class Difference:
    """How the answers to the same images differ from those of the reference.

    Attributes:
        top1_drop: points of top-1 lost; negative if won.
        class_drop: points lost by class; `class_lost`: how many fewer images of the class are right.
        agreement: percent of images with the same class.
        mean_logit_error: likewise `max_logit_error`: of the absolute difference of logits.
    """

    top1_drop: float
    class_drop: Mapping[str, float]
    class_lost: Mapping[str, int]
    agreement: float
    mean_logit_error: float
    max_logit_error: float

    @property
    def worst_class(self) -> tuple[str, float]:
        """The class that lost most, and its loss in points."""
        return max(self.class_drop.items(), key=lambda item: item[1])


@dataclass(frozen=True)
class Decided:
    """What `label_or_concept` says by the artefact's thresholds; percent, accuracies None where nothing was said."""

    images: int
    class_coverage: float
    concept_coverage: float
    unsure: float
    class_accuracy: float | None = None
    concept_accuracy: float | None = None


@dataclass(frozen=True)
class File:
    """A file of an artefact: where it is, below the run or bundle, and what was validated."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Row:
    """One artefact, by the very bytes that ship.

    Attributes:
        runtime: what computed the answers, with its version.
        files: the one to open first.
        test: of the test images; `test_difference` to the reference on them.
        choice: of the validation images, by which everything is chosen; None where there are none (a bundle).
        default_precision_agreement: percent of test images with the same answer where the runtime chooses the
            precision of floats itself; None for runtimes that do not.
        timings: by number of images, those of one image first; empty if the target cannot run here.
        cold_start: of a fresh process; None if the target cannot run here.
        confidence: temperature and thresholds, by the validation images.
        calibrated_error: expected calibration error in points after the temperature, on the test images.
        accurate: whether it may be used at all; `shipped` if it is the one that its target ships, and why or why not.
    """

    target: str
    precision: str
    runtime: str
    files: tuple[File, ...]
    size_bytes: int
    test: Accuracy
    test_difference: Difference
    timings: tuple[Timing, ...]
    accurate: bool
    shipped: bool
    reason: str
    choice: Accuracy | None = None
    choice_difference: Difference | None = None
    default_precision_agreement: float | None = None
    cold_start: ColdStart | None = None
    confidence: Confidence | None = None
    decided: Decided | None = None
    calibrated_error: float | None = None

    @property
    def title(self) -> str:
        """Target and precision."""
        return f"{self.target} {self.precision}"

    @property
    def array(self) -> str:
        """The name of its logits in `answers.npz`."""
        return f"{self.target}-{self.precision}"

    @property
    def latency(self) -> Timing | None:
        """The timing of one image; None if the target cannot run here."""
        return self.timings[0] if self.timings else None


@dataclass(frozen=True)
class Reference:
    """What the artefacts are compared with: the torch student of a run, the first float artefact of a bundle."""

    title: str
    test: Accuracy
    choice: Accuracy | None = None


@dataclass(frozen=True)
class Cross:
    """Percent of the test images on which two targets give the same class, in one precision."""

    precision: str
    targets: tuple[str, ...]
    agreement: float


@dataclass(frozen=True)
class Gate:
    """One judgement.

    Attributes:
        name: the key of the recipe's `validate`, or `unchanged` or `something_compared`.
        subject: the artefact or the pair that was judged.
        status: `held_back` is a failure that costs the artefact its place, for which another of its target stands in;
            `skipped` could not be measured here.
        expected: likewise `measured`: in words, with units.
        images: which images it was judged by; empty if by none.
    """

    name: str
    subject: str
    status: Literal["passed", "failed", "held_back", "skipped"]
    expected: str
    measured: str
    images: str = ""


@dataclass(frozen=True)
class Machine:
    """Where it was measured.

    Attributes:
        facts: processor, system, python, ...: what the machine shows.
        cpu_flags: instruction sets that inference depends on, those that this processor has.
        runtimes: versions by target.
        precision_hints: by target, how the runtime was told to compute floats.
        threads: of timed calls.
    """

    facts: Mapping[str, str]
    cores: int
    cpu_flags: tuple[str, ...]
    runtimes: Mapping[str, str]
    precision_hints: Mapping[str, str]
    threads: int


@dataclass(frozen=True)
class Validation:
    """A whole validation.

    Attributes:
        name: of the recipe or bundle.
        subject: what was validated.
        images: where the test images are from, in words; `fingerprint` is a SHA-256 of them with their labels.
        verdict: `failed` if a gate is.
    """

    name: str
    subject: Literal["run", "bundle"]
    images: str
    fingerprint: str
    hierarchy: Hierarchy
    reference: Reference
    rows: tuple[Row, ...]
    cross_agreement: tuple[Cross, ...]
    gates: tuple[Gate, ...]
    verdict: Literal["passed", "failed"]
    machine: Machine
    parameters: int | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the logits."""
        return self.hierarchy.classes

    @property
    def failed_gates(self) -> tuple[Gate, ...]:
        """The gates that made the verdict, if it is `failed`."""
        return tuple(gate for gate in self.gates if gate.status == "failed")

    def to_json(self) -> dict[str, Any]:
        """The content of `validation.json`."""
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "created_by": f"hkd-edge {__version__}"}
        return head | dict(encode(self))


def write_validation(folder: Path, validation: Validation, arrays: Mapping[str, NDArray[Any]]) -> list[Path]:
    """Writes both files into `folder`, the arrays first; their paths."""
    with write_atomically(folder / ARRAYS_FILE) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    write_json_atomically(folder / RESULT_FILE, validation.to_json())
    return [folder / ARRAYS_FILE, folder / RESULT_FILE]


def read_validation(folder: Path) -> Validation:
    """The validation in `folder`.

    Raises:
        RunDirectoryError: if there is none, or it is of another version or damaged.
    """
    path = folder / RESULT_FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(
            f"{path}: expected the result of a validation, got: {error}. Run: hkd-edge validate {folder}"
        ) from error
    head = {key: stored.pop(key, None) for key in ("format", "format_version", "created_by")}
    problems: list[str] = []
    if (head["format"], head["format_version"]) == (FORMAT, FORMAT_VERSION):
        validation = decode(Validation, stored, "", problems)
        if not problems:
            return validation  # type: ignore[no-any-return]
    found = problems[0] if problems else f"{head['format']} {head['format_version']}"
    raise RunDirectoryError(
        f"{path}: expected {FORMAT} {FORMAT_VERSION}, got {found} Validate again: hkd-edge validate {folder}"
    )


def read_answers(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the validation in `folder`.

    Raises:
        RunDirectoryError: if they are missing or damaged.
    """
    path = folder / ARRAYS_FILE
    try:
        return dict(read_arrays(path, "answers of a validation"))
    except BundleError as error:
        raise RunDirectoryError(f"{error} Validate again: hkd-edge validate {folder}") from error
