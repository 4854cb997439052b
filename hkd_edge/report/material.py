"""What a report is made of: the files of a run directory, each of which but the validation may be missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray

from hkd_edge.errors import RunDirectoryError
from hkd_edge.evaluate.result import Validation, read_answers, read_validation

# In the order of the pipeline, which reports do not import; a test holds them to it.
STAGES = ("data", "concepts", "teach", "distill", "export", "validate", "bundle")
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Training:
    """One training by its epochs: `losses`, and `accuracies` in percent of the validation images by name."""

    title: str
    parameters: int
    losses: tuple[float, ...]
    accuracies: Mapping[str, tuple[float, ...]]
    seconds: float


@dataclass(frozen=True)
class DataFacts:
    """Where the images are from; `images` are their numbers by split."""

    name: str
    source: str
    fingerprint: str
    images: Mapping[str, int]


@dataclass(frozen=True)
class ConceptFacts:
    """How much of the class the concepts tell: H(class) and H(class | concepts) in bits, and whom they do not part."""

    prior_entropy_bits: float
    entropy_bits: float
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Trial:
    """One way to INT8 that was tried for a target; top-1 and drop by the validation images."""

    target: str
    rung: str
    candidate: str
    top1: float
    drop: float
    chosen: bool
    reason: str


@dataclass(frozen=True)
class BoardRow:
    """One artefact on a board; accuracy None if no labelled images were there."""

    artefact: str
    runtime: str
    p50_ms: float
    p90_ms: float
    p99_ms: float
    images_per_s: float
    load_ms: float
    first_answer_ms: float
    rss_bytes: int | None = None
    top1: float | None = None


@dataclass(frozen=True)
class Board:
    """What `hkd-edge bench` measured: on which machine, of which bundle, and what makes the figures doubtful."""

    name: str
    machine: str
    sha256: str
    threads: int
    rows: tuple[BoardRow, ...]
    skipped: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class BundleFacts:
    """Who made the bundle, and the versions that it was made with."""

    created_by: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Material:
    """All that was found; empty or None is what was not there."""

    validation: Validation
    arrays: Mapping[str, NDArray[Any]]
    recipe: str = ""
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    trainings: tuple[Training, ...] = ()
    data: DataFacts | None = None
    concepts: ConceptFacts | None = None
    trials: tuple[Trial, ...] = ()
    boards: tuple[Board, ...] = ()
    bundle: BundleFacts | None = None

    @property
    def labels(self) -> NDArray[np.int64]:
        """The test images' labels (N,)."""
        return self.arrays["labels"]


def read_material(run: Path) -> Material:
    """What is in the directory `run`.

    Raises:
        RunDirectoryError: if it has no validation, or a file of it is damaged.
    """
    validation, arrays = read_validation(run), read_answers(run)
    _check_arrays(run, validation, arrays)
    stages = {name: _read(run / "stages" / f"{name}.json", lambda stored: float(stored["seconds"])) for name in STAGES}
    return Material(
        validation,
        arrays,
        _recipe(run / "recipe.yaml"),
        {name: seconds for name, seconds in stages.items() if seconds is not None},
        (
            *(_read(run / "teacher/metrics.json", _teachers) or ()),
            *(_read(run / "student/metrics.json", _student) or ()),
        ),
        _read(run / "data/data.json", _data),
        _read(run / "concepts/measures.json", _concepts),
        _read(run / "artefacts/export.json", _trials) or (),
        tuple(
            board
            for path in sorted((run / "boards").glob("*.json"))
            if (board := _read(path, lambda stored, name=path.stem: _board(name, stored)))  # type: ignore[misc]
        ),
        _read(run / "bundle/manifest.json", _bundle),
    )


def _recipe(path: Path) -> str:
    """The resolved recipe without what tells of the machine, since reports are passed around."""
    if not path.is_file():
        return ""
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
        recipe["data"].pop("root", None)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise RunDirectoryError(f"{path}: expected the recipe of a run, got: {error}. Make the run again.") from error
    recipe.pop("tracking", None)
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)


def _check_arrays(run: Path, validation: Validation, arrays: Mapping[str, NDArray[Any]]) -> None:
    wanted = ["labels", "mistakes", "mistake_images", "reference", *(row.array for row in validation.rows)]
    if missing := [name for name in wanted if name not in arrays]:
        raise RunDirectoryError(
            f"{run}: expected the arrays of the validation, got none called {', '.join(missing)}. "
            f"Validate again: hkd-edge validate {run}"
        )


def _read(path: Path, parse: Callable[[Any], _Found]) -> _Found | None:
    """What `parse` makes of the JSON in `path`; None without such a file."""
    if not path.is_file():
        return None
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RunDirectoryError(
            f"{path}: expected what hkd-edge writes there, got: {type(error).__name__}: {error}. "
            "Make it again, or remove it and the report leaves it out."
        ) from error


def _teachers(stored: Any) -> tuple[Training, ...]:
    return tuple(_training(f"{role} teacher", one) for role, one in stored.items())


def _student(stored: Any) -> tuple[Training, ...]:
    return (_training("student", stored),)


def _training(title: str, stored: Any) -> Training:
    epochs = stored["epochs"]
    names = epochs[0]["accuracies"] if epochs else {}
    return Training(
        title,
        int(stored["parameters"]),
        tuple(float(epoch["loss"]) for epoch in epochs),
        {name: tuple(float(epoch["accuracies"][name]) for epoch in epochs) for name in names},
        sum(float(epoch["seconds"]) for epoch in epochs),
    )


def _data(stored: Any) -> DataFacts:
    return DataFacts(stored["name"], stored["source"], stored["fingerprint"], dict(stored["images"]))


def _concepts(stored: Any) -> ConceptFacts:
    groups = tuple(tuple(group) for group in stored["groups"])
    return ConceptFacts(float(stored["prior_entropy_bits"]), float(stored["entropy_bits"]), groups)


def _trials(stored: Any) -> tuple[Trial, ...]:
    keys = ("rung", "candidate", "top1", "drop", "chosen", "reason")
    found = [(target, trial) for target, climbed in stored.get("int8", {}).items() for trial in climbed["trials"]]
    return tuple(Trial(target, **{key: trial[key] for key in keys}) for target, trial in found)


def _bundle(stored: Any) -> BundleFacts:
    versions = stored.get("provenance", {}).get("versions", {})
    return BundleFacts(stored["created_by"], {name: str(version) for name, version in versions.items()})


def _board(name: str, stored: Any) -> Board:
    facts = stored["board"]["facts"]
    parts = [facts[key] for key in ("model", "cpu", "system") if key in facts]
    return Board(
        name,
        ", ".join(parts),
        stored["sha256"],
        int(stored["settings"]["threads"]),
        tuple(_board_row(row) for row in stored["rows"]),
        tuple(f"{each['target']} {each['precision']}: {each['reason']}" for each in stored["skipped"]),
        tuple(stored["warnings"]),
    )


def _board_row(row: Any) -> BoardRow:
    latency, cold = row["latency"], row["cold_start"]
    return BoardRow(
        artefact=f"{row['target']} {row['precision']}",
        runtime=row["runtime"],
        p50_ms=float(latency["p50_ms"]),
        p90_ms=float(latency["p90_ms"]),
        p99_ms=float(latency["p99_ms"]),
        images_per_s=float(latency["images_per_s"]),
        load_ms=float(cold["load_ms"]),
        first_answer_ms=float(cold["first_answer_ms"]),
        rss_bytes=cold["rss_bytes"],
        top1=None if row["accuracy"] is None else float(row["accuracy"]["top1"]),
    )
