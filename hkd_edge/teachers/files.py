"""The contents of the files that a recipe's teachers name: what the keys of stages and studies depend on."""

from __future__ import annotations

from pathlib import Path

from hkd_edge.errors import TrainingError
from hkd_edge.recipe.schema import Recipe, Teacher
from hkd_edge_runtime.files import sha256_file


def teacher_files(recipe: Recipe) -> dict[str, str]:
    """The SHA-256 of each file by its dotted key in the recipe.

    Raises:
        TrainingError: if a file is missing or cannot be read.
        MissingDependencyError: if the package that holds it is not installed.
    """
    both = {"teacher": recipe.teacher, "task_teacher": recipe.task_teacher}
    return {
        f"{role}.{name}": sha
        for role, teacher in both.items()
        if teacher is not None
        for name, sha in file_digests(recipe.located_teacher(teacher), role).items()
    }


def file_digests(teacher: Teacher, role: str) -> dict[str, str]:
    """The SHA-256 of each file of `teacher`, whose paths start from the current folder; `role` is for messages."""
    paths = {name: Path(path) for name, path in teacher.paths().items()}
    foreign = teacher.foreign
    if foreign is not None and foreign.weights_package is not None:
        from hkd_edge.teachers.torch_trunk import weights_file

        paths["foreign.weights"] = weights_file(foreign)
    return {name: _digest(path, f"recipe.{role}.{name}") for name, path in sorted(paths.items())}


def _digest(path: Path, where: str) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TrainingError(
            f"{where}: expected a file, got {path}: {reason}. Paths start from the recipe's folder."
        ) from error
