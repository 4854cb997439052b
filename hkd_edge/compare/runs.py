"""The runs to compare, as their directories tell them; what cannot be compared is refused here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd_edge.compare.differences import flattened
from hkd_edge.errors import HierarchyError, RecipeError, RunDirectoryError
from hkd_edge.evaluate.result import RESULT_FILE, Accuracy, Validation, read_answers, read_validation
from hkd_edge.recipe.located_yaml import read_document
from hkd_edge.run.directory import HIERARCHY_FILE, RECIPE_FILE, is_run

# The subject that every run has: its torch student. The others are artefacts, by `Row.title`.
STUDENT = "student"
_STUDENT_ARRAY = "reference"
# Relative to the run directory, so that the same file is written in many ways.
_PATH_KEYS = ("data.root", "architecture.weights")


@dataclass(frozen=True)
class ComparedRun:
    """One run.

    Attributes:
        title: the shortest end of its path that no other run of the comparison has.
        recipe: its resolved recipe and hierarchy by dotted keys.
        labels: (N,) int64, of the test images.
        right: by subject, (N,) bool: whether the answer to each test image is right.
        stage_seconds: how long each stage took when it last ran.
    """

    title: str
    folder: Path
    recipe: Mapping[str, object]
    validation: Validation
    labels: NDArray[np.int64]
    right: Mapping[str, NDArray[np.bool_]]
    stage_seconds: Mapping[str, float]


def read_runs(folders: Sequence[Path]) -> tuple[ComparedRun, ...]:
    """The runs in `folders`, in their order.

    Raises:
        RunDirectoryError: if one is no run, has no validation, or is given twice, or if their test images differ.
        RecipeError: if a resolved recipe cannot be read; HierarchyError likewise.
    """
    _refuse_repeated(folders)
    runs = tuple(_read_run(folder, title) for folder, title in zip(folders, short_titles(folders), strict=True))
    for run in runs[1:]:
        _refuse_other_images(runs[0], run)
    return runs


def short_titles(folders: Sequence[Path]) -> tuple[str, ...]:
    """The last names of each path, as few as tell all apart.

    >>> short_titles([Path("/a/runs/x"), Path("/b/runs/x"), Path("/b/runs/y")])
    ('a/runs/x', 'b/runs/x', 'b/runs/y')
    """
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        titles = tuple("/".join(part[-length:]) for part in parts)
        if len(set(titles)) == len(titles):
            return titles
    raise ValueError(f"folders: expected each but once, got {[str(folder) for folder in folders]}.")


def _refuse_repeated(folders: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for folder in folders:
        other = seen.setdefault(folder.resolve(), folder)
        if other is not folder:
            raise RunDirectoryError(f"{folder}: expected each run once, got {other} again. Leave one of them out.")


def _read_run(folder: Path, title: str) -> ComparedRun:
    if not is_run(folder):
        raise RunDirectoryError(
            f"{folder}: expected a run directory, got a folder without {RECIPE_FILE} or none. "
            f"Make it: hkd-edge run RECIPE -o {folder}"
        )
    if not (folder / RESULT_FILE).is_file():
        raise RunDirectoryError(
            f"{folder}: expected a validated run, got one without {RESULT_FILE}. Run: hkd-edge validate {folder}"
        )
    validation, answers = read_validation(folder), read_answers(folder)
    labels = _array(folder, answers, "labels", (validation.reference.test.images,))
    subjects = {STUDENT: (_STUDENT_ARRAY, validation.reference.test)}
    subjects |= {row.title: (row.array, row.test) for row in validation.rows}
    right = {
        subject: _right(folder, answers, array, accuracy, labels, len(validation.classes))
        for subject, (array, accuracy) in subjects.items()
    }
    return ComparedRun(title, folder, _recipe(folder), validation, labels, right, _stage_seconds(folder))


def _right(
    folder: Path,
    answers: Mapping[str, NDArray[Any]],
    name: str,
    accuracy: Accuracy,
    labels: NDArray[np.int64],
    classes: int,
) -> NDArray[np.bool_]:
    """Which answers of the array `name` are right; they must come to the accuracy that the validation tells."""
    logits = _array(folder, answers, name, (len(labels), classes))
    right: NDArray[np.bool_] = logits.argmax(axis=1) == labels
    half_an_image = 50 / len(labels)
    if abs(100 * float(right.mean()) - accuracy.top1) > half_an_image:
        raise _damaged(folder, f"{name}: {accuracy.top1:.2f} % right", f"{100 * right.mean():.2f} %")
    return right


def _array(folder: Path, answers: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if name not in answers:
        raise _damaged(folder, f"the array {name}", f"{', '.join(sorted(answers))}")
    if answers[name].shape != shape:
        raise _damaged(folder, f"{name} of shape {shape}", f"{answers[name].shape}")
    return answers[name]


def _damaged(folder: Path, expected: str, found: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"{folder}: expected answers that fit {RESULT_FILE}, {expected}; got {found}. "
        f"Validate again: hkd-edge validate {folder}"
    )


def _refuse_other_images(first: ComparedRun, other: ComparedRun) -> None:
    same = first.validation.fingerprint == other.validation.fingerprint and np.array_equal(first.labels, other.labels)
    if not same:
        raise RunDirectoryError(
            f"{other.folder}: expected the test images of {first.folder} "
            f"({first.validation.images}, {first.validation.fingerprint[:12]}), got others "
            f"({other.validation.images}, {other.validation.fingerprint[:12]}). "
            f"Answers to different images cannot be paired. Train on the same data, or compare each group of its own."
        )
    if first.validation.classes != other.validation.classes:
        raise RunDirectoryError(
            f"{other.folder}: expected the classes of {first.folder} in their order "
            f"({', '.join(first.validation.classes)}), got {', '.join(other.validation.classes)}. "
            "Name them alike in both hierarchies and run again."
        )


def _recipe(folder: Path) -> dict[str, object]:
    """The recipe and the hierarchy that it names as a file; read as data, so that older recipes can be compared too."""
    document = read_document(folder / RECIPE_FILE, root="recipe", noun="recipe", error=RecipeError)
    recipe = {key: _seen_from(folder, key, value) for key, value in flattened(document.value).items()}
    if (folder / HIERARCHY_FILE).is_file():
        hierarchy = read_document(
            folder / HIERARCHY_FILE, root="hierarchy", noun="hierarchy of concepts", error=HierarchyError
        )
        recipe |= flattened(hierarchy.value, "hierarchy")
    return recipe


def _seen_from(folder: Path, key: str, value: object) -> object:
    if key.endswith(_PATH_KEYS) and isinstance(value, str):
        return str((folder / Path(value).expanduser()).resolve())
    return value


def _stage_seconds(folder: Path) -> dict[str, float]:
    """By stage; those that have not run are left out."""
    seconds = {}
    for path in sorted((folder / "stages").glob("*.json")):
        try:
            seconds[path.stem] = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(
                f"{path}: expected the stamp of a stage with its seconds, got: {error!r}. "
                f"Run the stage again: hkd-edge {path.stem} {folder}"
            ) from error
    return seconds
