"""A cell of a study: where it stands in the grid, the recipe that trains it, and what came of it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hkd_edge.errors import RunDirectoryError
from hkd_edge.recipe import Recipe

FORMAT = "hkd-edge-study-cell"
FORMAT_VERSION = 2
TRIAL_FORMAT, TRIAL_FORMAT_VERSION = "hkd-edge-study-trial", 1


@dataclass(frozen=True)
class Cell:
    """One student to train. `variant` is "" for a method without variants; `unmet` is "" where no class is left out."""

    method: str
    variant: str
    student: str
    label_fraction: float
    unmet: str
    seed: int

    @property
    def title(self) -> str:
        """What people call it.

        >>> Cell("kd", "soft", "base", 0.05, "", 3).title
        'kd/soft, student base, 5 % of the labels, seed 3'
        """
        unmet = f", without {self.unmet}" if self.unmet else ""
        return (
            f"{self.full_method}, student {self.student}, {labels_title(self.label_fraction)}{unmet}, seed {self.seed}"
        )

    @property
    def full_method(self) -> str:
        """The method with its variant."""
        return f"{self.method}/{self.variant}" if self.variant else self.method

    @property
    def file_stem(self) -> str:
        """A name for its files that tells it from the other cells of a study."""
        parts = (self.full_method.replace("/", "+"), self.student, f"labels{self.label_fraction:g}", self.unmet)
        stem = ".".join(re.sub(r"[^A-Za-z0-9_+.-]", "_", part) for part in parts if part)
        return f"{stem}.seed{self.seed}"


@dataclass(frozen=True)
class PlannedCell:
    """A cell with the recipe that trains it."""

    cell: Cell
    recipe: Recipe


@dataclass(frozen=True)
class Measures:
    """What a student answers of some images; accuracies and calibration error in percent.

    `concepts` is by axis, `concept_mean` their mean (None without an axis that speaks of the images), and `severity`
    the mean share of axes (0 to 1) on which a wrong answer does not even keep the concept (None without one).
    `tempered_calibration_error` is that after temperature scaling by validation images. `corruptions` is the top-1 by
    kind of corruption at each of its strengths, `robustness` the mean of them all; of a class without labels there are
    none.
    """

    images: int
    top1: float
    concepts: dict[str, float]
    concept_mean: float | None
    calibration_error: float
    tempered_calibration_error: float
    severity: float | None
    robustness: float | None
    corruptions: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class TeacherFacts:
    """A teacher that a cell's losses used: its size, its training, and its last accuracies on validation images."""

    parameters: int
    seconds: float
    accuracies: dict[str, float]


@dataclass(frozen=True)
class CellResult:
    """What came of a cell. `curve` is the top-1 on validation images after each epoch, in percent.

    Seconds are those of the epochs; a teacher's are told with each cell that uses it, though it was trained once.
    """

    cell: Cell
    key: str
    parameters: int
    validation: Measures
    test: Measures
    curve: tuple[float, ...]
    seconds: float
    teachers: dict[str, TeacherFacts]
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As JSON; `read_result` is its inverse."""
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial of a search: top-1 on validation images in percent, None where it could not be trained."""

    cell: Cell
    key: str
    top1: float | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As JSON; `read_trial` is its inverse."""
        return {"format": TRIAL_FORMAT, "format_version": TRIAL_FORMAT_VERSION, **asdict(self)}


def read_trial(path: Path) -> TrialResult | None:
    """The trial in a file that `to_json` was written to; None if there is none.

    Raises:
        RunDirectoryError: if the file is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if (content.pop("format"), content.pop("format_version")) != (TRIAL_FORMAT, TRIAL_FORMAT_VERSION):
            raise _refusal(path, "another format", "trial")
        return TrialResult(**{**content, "cell": Cell(**content["cell"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise _refusal(path, str(error), "trial") from error


def read_result(path: Path) -> CellResult | None:
    """The result in a file that `to_json` was written to; None if there is none.

    Raises:
        RunDirectoryError: if the file is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _refusal(path, str(error)) from error
    try:
        if (content.pop("format"), content.pop("format_version")) != (FORMAT, FORMAT_VERSION):
            raise _refusal(path, "another format")
        return CellResult(
            **{
                **content,
                "cell": Cell(**content["cell"]),
                "validation": _measures(content["validation"]),
                "test": _measures(content["test"]),
                "curve": tuple(content["curve"]),
                "teachers": {role: TeacherFacts(**facts) for role, facts in content["teachers"].items()},
            }
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise _refusal(path, f"other fields ({error})") from error


def labels_title(fraction: float) -> str:
    """A label budget in words.

    >>> labels_title(0.05), labels_title(1.0)
    ('5 % of the labels', 'all labels')
    """
    return "all labels" if fraction == 1 else f"{100 * fraction:g} % of the labels"


def _measures(content: dict[str, Any]) -> Measures:
    corruptions = {kind: tuple(values) for kind, values in content["corruptions"].items()}
    return Measures(**{**content, "corruptions": corruptions})


def _refusal(path: Path, found: str, what: str = "cell") -> RunDirectoryError:
    known = f"{FORMAT} {FORMAT_VERSION}" if what == "cell" else f"{TRIAL_FORMAT} {TRIAL_FORMAT_VERSION}"
    return RunDirectoryError(
        f"{path}: expected the result of a {what} in format {known}, got {found}. Remove the file."
    )
