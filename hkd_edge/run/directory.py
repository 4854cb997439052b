"""The directory of one run: who may write into it, and what it holds.

RUN/recipe.yaml       the resolved recipe, and RUN/hierarchy.yaml the hierarchy that it names
RUN/stages/NAME.json  what a finished stage was made from and what it wrote
RUN/data, concepts, teacher, student, artefacts, bundle                results
RUN/validation.json, answers.npz                                        see `hkd_edge.evaluate.result`
RUN/report.html, .md, .json                                             see docs/report.md
RUN/metrics.jsonl     what trainings and stages tell as they go on; RUN/tensorboard, mlflow.json: of its followers
RUN/boards/HOST.json  what `hkd-edge bench --host HOST` measured of the bundle
RUN/checkpoints, cache                                                  what may be deleted to save space
"""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hkd_edge.errors import RunDirectoryError
from hkd_edge.places import RECIPE_FILE as RECIPE_FILE
from hkd_edge.places import is_run as is_run
from hkd_edge.recipe import Recipe, dump_recipe
from hkd_edge_runtime.files import write_atomically

HIERARCHY_FILE = "hierarchy.yaml"
_LOCK_FILE = ".lock"
_TORN = re.compile(r"\..+\.[0-9a-f]{12}(\..+)?")
_OWNED = (
    RECIPE_FILE,
    HIERARCHY_FILE,
    "stages",
    "data",
    "concepts",
    "teacher",
    "student",
    "artefacts",
    "validation.json",
    "answers.npz",
    "report.html",
    "report.md",
    "report.json",
    "bundle",
    "boards",
    "metrics.jsonl",
    "tensorboard",
    "mlflow.json",
    "checkpoints",
    "cache",
)


@contextmanager
def open_run(path: Path, recipe: Recipe, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Holds the run directory `path` against other processes, with copies of `recipe` and its hierarchy in it.

    By the copies the run can be gone on with when the originals are gone; now the originals are what is read.

    Raises:
        RunDirectoryError: if it exists and neither `resume` nor `overwrite` is set, is no run directory, is in use by
            another process, or cannot be written.
    """
    _check_existing(path, resume=resume, overwrite=overwrite)
    with hold_run(path):
        if overwrite:
            _clear(path)
        _remove_torn_files(path)
        _write_recipe(path, recipe)
        yield


@contextmanager
def hold_run(path: Path) -> Iterator[None]:
    """Holds the folder `path`, made if it is not there, against other processes, and changes nothing in it.

    Raises:
        RunDirectoryError: if it is in use by another process, or cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / _LOCK_FILE).open("w")
    except OSError as error:
        raise RunDirectoryError(
            f"{path}: expected a folder that can be written, got: {error}. Name another by -o."
        ) from error
    with lock:
        _take(lock.fileno(), path)
        yield


def _check_existing(path: Path, *, resume: bool, overwrite: bool) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise RunDirectoryError(f"{path}: expected a run directory, got a file. Name another by -o.")
    entries = {entry.name for entry in path.iterdir()} - {_LOCK_FILE}
    if not entries:
        return
    if not is_run(path):
        raise RunDirectoryError(
            f"{path}: expected a run directory or an empty one, got a folder with other files "
            f"({', '.join(sorted(entries)[:3])}). Nothing was touched. Name another by -o."
        )
    if not (resume or overwrite):
        raise RunDirectoryError(
            f"{path}: expected no such run yet, got one. Go on with it by --resume (finished stages are skipped) "
            "or start anew by --overwrite."
        )


def _write_recipe(path: Path, recipe: Recipe) -> None:
    """Writes the resolved recipe, and a copy of its hierarchy, which it then names."""
    copied = recipe.moved_to(path)
    hierarchy = recipe.hierarchy_path
    if hierarchy is not None and hierarchy.is_file():
        text = hierarchy.read_bytes()
        with write_atomically(path / HIERARCHY_FILE) as temporary:
            temporary.write_bytes(text)
        copied = _naming_hierarchy(copied, HIERARCHY_FILE).in_folder(path)
    with write_atomically(path / RECIPE_FILE) as temporary:
        temporary.write_text(dump_recipe(copied), encoding="utf-8")


def _naming_hierarchy(recipe: Recipe, name: str) -> Recipe:
    return recipe.model_copy(update={"concepts": recipe.concepts.model_copy(update={"hierarchy": name})})


def _remove_torn_files(path: Path) -> None:
    """Removes what a killed process was writing: files and folders named .STEM.12-HEX-DIGITS.SUFFIX."""
    for entry in sorted(path.rglob(".*")):
        if not _TORN.fullmatch(entry.name):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunDirectoryError(
            f"{path}: expected to be alone in this run, got another hkd-edge at work in it. Wait for it or stop it."
        ) from error


def _clear(path: Path) -> None:
    """Removes what runs write and nothing else that the user may have put there."""
    for name in _OWNED:
        entry = path / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
