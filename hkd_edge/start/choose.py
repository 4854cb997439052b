"""What a recipe for a set of images is chosen to be, and why. Pure functions of what was found and measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SIZES = (224, 160, 128, 96, 64, 32)  # pixels, the largest first
# With fewer epochs than the least a larger image gains less than its training lacks: what counts is how many images a
# student has seen, so that few images need more epochs.
LEAST_EPOCHS, MOST_EPOCHS = (20, 60), (60, 120)
_LEAST_SEEN, _MOST_SEEN = 80_000, 200_000
_BATCHES = ((20_000, 128), (2_000, 64), (0, 32))  # images of the training set, images of a step
_ACCURACIES = (99.0, 97.0, 95.0, 90.0)  # percent, for `validate.selective`
_LEVEL = 0.95
_WEIGHT, _WEIGHT_OF_UNLABELLED = 0.05, 0.5  # of the concept teacher's answers beside the labels' 1
_CHANGED = 0.05  # share of the answers that int8 changes; 0.01 to 0.1 in runs on photographs


@dataclass(frozen=True)
class Facts:
    """What the choices depend on.

    Attributes:
        training, validation: images of each.
        unlabelled: those of the training images that have no class.
        axes: names of the hierarchy's axes that the data come with.
        size: side in pixels that the images' own pixels suggest, or that was asked for.
        imbalance: images of the largest class for one of the smallest.
    """

    classes: int
    training: int
    validation: int
    axes: tuple[str, ...]
    size: int
    imbalance: float
    unlabelled: int = 0


@dataclass(frozen=True)
class Pace:
    """Seconds that one training step takes for each image in it, on this machine."""

    size: int
    student_s: float
    teacher_s: float


@dataclass(frozen=True)
class Choice:
    """A recipe's numbers; `seconds` is what its trainings should take on this machine.

    `labelled_share` is None where all images have a class.
    """

    size: int
    student: dict[str, Any]
    teacher: dict[str, Any] | None
    batch_size: int
    epochs: int
    teacher_epochs: int
    shift_px: int
    balance: str
    concept_weight: float
    labelled_share: float | None
    seconds: float
    gates: dict[str, float]
    accuracy: float
    reasons: tuple[str, ...]


def student_architecture(size: int) -> dict[str, Any]:
    """A student of about 100 thousand parameters or less for square images of `size` pixels; see docs/students.md."""
    if size < 48:
        return {"stem_width": 16, "widths": [48, 48, 64], "blocks": [0, 1, 0]}
    if size < 96:
        return {"stem_width": 16, "stem_stride": 2, "widths": [48, 48, 64], "blocks": [0, 1, 0]}
    widths, blocks = ([16, 24, 48, 96], [0, 1, 2, 1]) if size < 160 else ([16, 24, 48, 96, 160], [0, 1, 2, 2, 1])
    return {"kind": "mobile", "stem_width": 16, "stem_stride": 2, "widths": widths, "blocks": blocks}


def teacher_architecture(size: int) -> dict[str, Any]:
    """A concept teacher for square images of `size` pixels."""
    if size < 96:
        return {"stem_width": 16, "stem_stride": 2, "widths": [32, 64], "blocks": [1, 1]}
    return {"stem_width": 16, "stem_stride": 2, "widths": [24, 32, 64], "blocks": [0, 1, 1]}


def sizes_to_try(size: int) -> tuple[int, ...]:
    """The image sizes to measure: `size` and the smaller ones, which are for machines that are too slow for it."""
    return tuple(dict.fromkeys((size, *(each for each in SIZES if each < size))))


def epochs_between(training: int) -> tuple[int, int]:
    """The least and most epochs over `training` images.

    >>> epochs_between(400), epochs_between(1600), epochs_between(50_000)
    ((60, 120), (50, 120), (20, 60))
    """
    return _within(LEAST_EPOCHS, _LEAST_SEEN // training), _within(MOST_EPOCHS, _MOST_SEEN // training)


def _within(limits: tuple[int, int], value: int) -> int:
    return min(max(value, limits[0]), limits[1])


def choose(facts: Facts, paces: Sequence[Pace], budget_s: float) -> Choice:
    """The recipe for `facts`: the first of `paces` that trains the least epochs within the budget, or else the last."""
    teaching = bool(facts.axes)
    least, most = epochs_between(facts.training)
    pace = next((each for each in paces if _epochs(facts, each, budget_s) >= least), paces[-1])
    epochs = _within((least, most), _epochs(facts, pace, budget_s))
    teacher_epochs = max(2, epochs // 4)
    seconds = facts.training * (epochs * pace.student_s + teaching * teacher_epochs * pace.teacher_s)
    return Choice(
        size=pace.size,
        student=student_architecture(pace.size),
        teacher=teacher_architecture(pace.size) if teaching else None,
        batch_size=next(size for images, size in _BATCHES if facts.training >= images),
        epochs=epochs,
        teacher_epochs=teacher_epochs,
        shift_px=max(1, pace.size // 16),
        balance="weights" if facts.imbalance > 3 else "none",
        concept_weight=_WEIGHT_OF_UNLABELLED if facts.unlabelled else _WEIGHT,
        labelled_share=_labelled_share(facts) if facts.unlabelled else None,
        seconds=seconds,
        gates=_gates(facts.validation),
        accuracy=_provable(facts.validation),
        reasons=tuple(_reasons(facts, pace, paces, epochs, seconds, budget_s)),
    )


def _epochs(facts: Facts, pace: Pace, budget_s: float) -> int:
    teacher_s = pace.teacher_s / 4 if facts.axes else 0.0
    return int(budget_s / (facts.training * (pace.student_s + teacher_s)))


def _labelled_share(facts: Facts) -> float:
    """A half, or as many as there are: a batch of fewer would waste labels."""
    return round(max(0.5, 1 - facts.unlabelled / facts.training), 2)


def _gates(validation: int) -> dict[str, float]:
    """Limits that int8 does not miss by chance.

    Where int8 answers the share c of N images otherwise than the student, half of them better and half worse, its
    accuracy differs by 100 * sqrt(c / N) points (standard deviation); twice that is allowed. Agreement is no gate for a
    student that is often unsure, and how sure this one will be is not known yet: it only has to be no accident.
    """
    chance = 2 * 100 * math.sqrt(_CHANGED / validation)
    return {"max_top1_drop": round(max(0.5, chance), 1), "min_agreement": 85.0, "min_cross_agreement": 85.0}


def _provable(validation: int) -> float:
    """The highest accuracy that half of the validation images, all of them right, show at the level of 95 %."""
    for accuracy in _ACCURACIES:
        if validation / 2 >= math.log(1 - _LEVEL) / math.log(accuracy / 100):
            return accuracy
    return _ACCURACIES[-1]


def _reasons(
    facts: Facts, pace: Pace, paces: Sequence[Pace], epochs: int, seconds: float, budget_s: float
) -> list[str]:
    told = []
    if pace.size == facts.size:
        told.append(
            f"image_size {pace.size}: the images have as many; above 96 costs much and rarely pays (--image-size)"
        )
    else:
        least = epochs_between(facts.training)[0]
        slow = (least * facts.training * paces[0].student_s) / 60
        told.append(
            f"image_size {pace.size} and not {facts.size}: {least} epochs at {facts.size} would take "
            f"{slow:.0f} minutes or more here, of {budget_s / 60:g} allowed (--minutes)"
        )
    told.append(
        f"{epochs} epochs: about {seconds / 60:.1f} minutes of training on this machine, where a step was timed "
        f"({1e3 * pace.student_s:.2f} ms an image); export and validation come on top, 1 to 5 minutes"
    )
    told.append(
        "augment: mirrored, shifted, zoomed and lit images; without them few photographs are learnt by heart. Take out "
        "what changes the class of yours"
    )
    if facts.axes:
        told.append(f"a concept teacher: the folders or columns group the classes by {', '.join(facts.axes)}")
    else:
        told.append("no concept teacher: nothing groups the classes; `hkd-edge concepts suggest RUN` finds groups")
    if facts.unlabelled:
        told.append(
            f"{facts.unlabelled:,} of {facts.training:,} training images have no class: the concept teacher learns "
            f"from them, and its answers to them teach the student (weight {_WEIGHT_OF_UNLABELLED:g}); "
            f"{100 * _labelled_share(facts):g} % of each batch have a class (labelled_share)"
        )
    if facts.imbalance > 3:
        told.append(f"balance weights: the largest class has {facts.imbalance:.1f} times the smallest one's images")
    return told
