"""A teacher in a file that says what it is, so that another run can learn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hkd_edge.errors import TrainingError
from hkd_edge.models.build import build
from hkd_edge.models.network import Ensemble, Network
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.train.checkpoint import UNREADABLE, read_described, save_described
from hkd_edge_runtime.errors import did_you_mean
from hkd_edge_runtime.hierarchy import SILENT, Axis, Hierarchy

FORMAT = "hkd-edge-teacher"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class TeacherInput:
    """Images (H, W, C) that a teacher was trained on, and their normalisation."""

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SavedTeacher:
    """What a file holds: a whole network of ours (`architecture`), or the head of a foreign one (`foreign`)."""

    role: str
    hierarchy: Hierarchy
    images: TeacherInput
    architecture: Architecture | None
    foreign: Mapping[str, Any] | None
    weights: Mapping[str, Tensor]
    members: int = 1

    @property
    def outputs(self) -> int:
        """How many logits it has."""
        return outputs_of(self.hierarchy, self.role)

    def network(self) -> Network | Ensemble:
        """The network of ours, or all its members, on the CPU in evaluation mode.

        Raises:
            TrainingError: if the weights are not those of the architecture, or if it is a foreign one.
        """
        if self.architecture is None:
            raise TrainingError("expected a teacher with a network of its own, got the head of a foreign one.")
        members = [build(self.architecture, self.images.shape[2], self.outputs) for _ in range(self.members)]
        network = together(members)
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise TrainingError(f"expected the weights of the teacher's architecture, got: {error}.") from error
        return network.eval()


def outputs_of(hierarchy: Hierarchy, role: str) -> int:
    """How many logits a teacher of `role` (concept or task) has: of all concepts of all axes, or of the classes."""
    return hierarchy.membership().shape[1] if role == "concept" else len(hierarchy.classes)


def together(members: Sequence[Network]) -> Network | Ensemble:
    """The one network of `members`, or all as an ensemble."""
    return members[0] if len(members) == 1 else Ensemble(members)


def save_teacher(path: Path, teacher: SavedTeacher) -> None:
    """Writes `path` atomically; the same teacher gives the same bytes."""
    architecture = teacher.architecture
    described = {
        "role": teacher.role,
        "hierarchy": teacher.hierarchy.to_dict(),
        "input": {"shape": teacher.images.shape, "mean": teacher.images.mean, "std": teacher.images.std},
        # The path of the weights that training started from means nothing to who gets this file.
        "architecture": architecture and architecture.model_copy(update={"weights": None}).model_dump(mode="json"),
        "foreign": teacher.foreign,
        "members": teacher.members,
    }
    save_described(path, (FORMAT, FORMAT_VERSION), described, teacher.weights)


def read_teacher(path: Path) -> SavedTeacher:
    """The teacher that `save_teacher` wrote.

    Raises:
        TrainingError: if the file is missing, damaged, or something else.
    """
    try:
        described, weights = read_described(path, (FORMAT, FORMAT_VERSION))
        taken, architecture = described["input"], described["architecture"]
        height, width, channels = taken["shape"]
        return SavedTeacher(
            role=described["role"],
            hierarchy=Hierarchy.from_dict(described["hierarchy"]),
            images=TeacherInput((height, width, channels), tuple(taken["mean"]), tuple(taken["std"])),
            architecture=architecture and Architecture.model_validate(architecture),
            foreign=described["foreign"],
            weights=weights,
            members=described.get("members", 1),  # older files have no such key
        )
    except UNREADABLE as error:
        raise TrainingError(
            f"{path}: expected a teacher of format {FORMAT} {FORMAT_VERSION}, as `hkd-edge teach` writes it to "
            f"teacher/concept.pt and teacher/task.pt, got: {error}. Run that again, or name such a file."
        ) from error


def columns_for(teacher: SavedTeacher, wanted: Hierarchy, role: str) -> list[int]:
    """For each logit that this recipe wants of a teacher of `role` its place among those of `teacher`.

    Raises:
        TrainingError: if the teacher has another role, lacks a class, an axis or a concept, or groups a class
            otherwise.
    """
    if teacher.role != role:
        raise TrainingError(
            f"checkpoint: expected a {role} teacher, got a {teacher.role} teacher. Name teacher/{role}.pt of a run."
        )
    if role == "task":
        return [_place(name, teacher.hierarchy.classes, "class") for name in wanted.classes]
    axes = {
        axis.name: (axis, columns.start)
        for axis, columns in zip(teacher.hierarchy.axes, teacher.hierarchy.slices(), strict=True)
    }
    places = []
    for axis in wanted.axes:
        _place(axis.name, tuple(axes), "axis")
        theirs, start = axes[axis.name]
        _check_same_groups(axis, wanted.classes, theirs, teacher.hierarchy.classes)
        places += [start + _place(name, theirs.concepts, f"concept of axis {axis.name}") for name in axis.concepts]
    return places


def _place(name: str, names: Sequence[str], noun: str) -> int:
    if name not in names:
        raise TrainingError(
            f"checkpoint: expected a teacher that knows the {noun} {name!r} of this recipe, got one of "
            f"{', '.join(names)}.{did_you_mean(name, names)} Train it anew, or give the recipe its hierarchy."
        )
    return names.index(name)


def _check_same_groups(ours: Axis, classes: Sequence[str], theirs: Axis, their_classes: Sequence[str]) -> None:
    """Classes that only one side knows do not matter: a teacher may come from a larger hierarchy."""
    extra = set(theirs.concepts) - set(ours.concepts)
    if extra:
        raise TrainingError(
            f"checkpoint: expected axis {ours.name!r} with the concepts {', '.join(ours.concepts)}, got a teacher that "
            f"has {', '.join(sorted(extra))} too. Train it anew, or give the recipe its hierarchy."
        )
    for name, place in zip(classes, ours.class_to_concept, strict=True):
        if name not in their_classes:
            continue
        said = theirs.class_to_concept[their_classes.index(name)]
        meant, was = ("none" if at == SILENT else axis.concepts[at] for axis, at in ((ours, place), (theirs, said)))
        if meant != was:
            raise TrainingError(
                f"checkpoint: expected a teacher for which class {name!r} has the concept {meant!r} of axis "
                f"{ours.name!r}, got one that learnt {was!r}. Train it anew, or give the recipe its hierarchy."
            )
