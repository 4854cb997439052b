"""Which of a foreign network's own classes mean which concept, from a YAML file.

axes:                                   # of a concept teacher: axis, concept, own classes by name or by index
  kind: {tops: [jersey, sweatshirt], footwear: [sandal, 770]}
classes: {Coat: [trench coat], ...}     # of a task teacher: class, own classes
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hkd_edge.errors import RecipeError, TrainingError
from hkd_edge.recipe.foreign import IMAGENET
from hkd_edge.recipe.located_yaml import Keys, Problem, dotted, read_document, report
from hkd_edge.recipe.problems import shown
from hkd_edge_runtime.errors import did_you_mean
from hkd_edge_runtime.hierarchy import Hierarchy

_ROOT = "mapping"
_MOST_LISTED = 20
_Finding = tuple[Keys, str]
Groups = Mapping[str, Sequence[str]]  # by axis the names of what its columns are


@dataclass(frozen=True)
class ClassMapping:
    """By axis (None: the file does not speak of it) for each concept the indices of the network's own classes."""

    members: tuple[tuple[tuple[int, ...], ...] | None, ...]
    sizes: tuple[int, ...]

    @property
    def silent_axes(self) -> tuple[int, ...]:
        """The axes that are not mapped, by their places."""
        return tuple(place for place, axis in enumerate(self.members) if axis is None)


class MappedClasses(nn.Module):
    """Scores of own classes as logits of concepts: t_k = log of the sum of exp(s_j) over the members j of concept k.

    softmax(t) is then the network's own probability of each concept, renormalised over all classes that are mapped on
    the axis. Columns of silent axes are 0.
    """

    def __init__(self, mapping: ClassMapping, *, probabilities: bool) -> None:
        super().__init__()
        self._mapping = mapping
        self._probabilities = probabilities

    def forward(self, scores: Tensor) -> Tensor:
        """Scores (N, own classes) -> logits (N, K) of all axes side by side."""
        # The smallest normal number keeps a probability that was rounded to 0 from becoming an infinity.
        logits = scores.clamp(min=torch.finfo(torch.float32).tiny).log() if self._probabilities else scores
        columns = []
        for members, size in zip(self._mapping.members, self._mapping.sizes, strict=True):
            if members is None:
                columns.append(logits.new_zeros(len(logits), size))
            else:
                columns.extend(logits[:, list(each)].logsumexp(1, keepdim=True) for each in members)
        return torch.cat(columns, dim=1)


def groups_of(hierarchy: Hierarchy, role: str) -> Groups:
    """What a teacher of `role` has columns for: the concepts of each axis, or the classes under `classes`."""
    if role == "task":
        return {"classes": hierarchy.classes}
    return {axis.name: axis.concepts for axis in hierarchy.axes}


def load_mapping(path: Path, groups: Groups, role: str, names: Sequence[str] | None, count: int) -> ClassMapping:
    """The mapping in the file at `path`: from `count` own classes, which `names` names, on `groups`.

    Raises:
        RecipeError: if it is missing or unreadable, or else with all that is wrong in it, line by line.
    """
    document = read_document(path, root=_ROOT, noun="mapping", error=RecipeError)
    own = _OwnClasses(names, count)
    problems = [
        *document.problems,
        *(
            Problem(document.place_of(keys), dotted(_ROOT, keys), text)
            for keys, text in _check(document.value, groups, role, own)
        ),
    ]
    if problems:
        raise RecipeError(report(problems))
    axes = {"classes": document.value["classes"]} if role == "task" else document.value["axes"]
    return ClassMapping(
        tuple(
            tuple(tuple(own.index(each) for each in axes[axis][name]) for name in columns) if axis in axes else None
            for axis, columns in groups.items()
        ),
        tuple(len(columns) for columns in groups.values()),
    )


def load_class_names(where: str | None, count: int) -> tuple[str, ...] | None:
    """The names of a network's `count` classes: those of the file `where`, or of ImageNet; None without any.

    Raises:
        TrainingError: if the file is missing, or has another number of lines.
    """
    if where is None:
        return None
    names = _imagenet() if where == IMAGENET else _lines(Path(where))
    if len(names) != count:
        raise TrainingError(
            f"foreign.classes: expected {count} names, one for each class that the network answers, got {len(names)} "
            f"from {where}. Name the file that belongs to this network."
        )
    return names


class _OwnClasses:
    """The network's own classes, looked up by name or by index."""

    def __init__(self, names: Sequence[str] | None, count: int) -> None:
        self.names = names
        self.count = count
        self._places = {name: place for place, name in enumerate(names or ())}
        self._counts = Counter(names or ())

    def index(self, member: str | int) -> int:
        return member if isinstance(member, int) else self._places[member]

    def fault(self, member: object) -> str | None:
        """What is wrong with `member` of a list, if anything."""
        if isinstance(member, int) and not isinstance(member, bool):
            inside = 0 <= member < self.count
            return None if inside else f"expected an index from 0 to {self.count - 1}, got {member}."
        if not isinstance(member, str):
            return f"expected the name or the index of a class, got {shown(member)}."
        if self.names is None:
            return f"expected an index, since foreign.classes names no classes, got {member!r}. Set classes to a file."
        if self._counts[member] > 1:
            places = [place for place, name in enumerate(self.names) if name == member]
            found = f"got {member!r} of classes {', '.join(map(str, places))}"
            return f"expected a name that one class has, {found}. Give the index."
        if member not in self._places:
            return f"unknown class {member!r}.{did_you_mean(member, self.names)} The network has {self.count} classes."
        return None


def _check(value: Any, groups: Groups, role: str, own: _OwnClasses) -> Iterator[_Finding]:
    key = "classes" if role == "task" else "axes"
    if not isinstance(value, dict) or set(value) != {key}:
        got = shown(value) if not isinstance(value, dict) else f"the keys {', '.join(map(str, value)) or 'none'}"
        yield (
            (),
            f"expected the key {key} alone, as the mapping of a {role} teacher has it, got {got}.",
        )
        return
    if role == "task":
        yield from _check_axis(("classes",), value[key], groups["classes"], own)
        return
    axes = value[key]
    if not isinstance(axes, dict) or not axes:
        yield (key,), f"expected at least one axis of {', '.join(groups)}, got {shown(axes)}."
        return
    for axis, concepts in axes.items():
        if axis in groups:
            yield from _check_axis((key, axis), concepts, groups[axis], own)
        else:
            yield (
                (key, axis),
                f"unknown axis.{did_you_mean(axis, list(groups))} Axes of the hierarchy: {', '.join(groups)}.",
            )


def _check_axis(keys: Keys, concepts: Any, columns: Sequence[str], own: _OwnClasses) -> Iterator[_Finding]:
    if not isinstance(concepts, dict):
        yield keys, f"expected a list of the network's classes for each of {_listed(columns)}, got {shown(concepts)}."
        return
    missing = [name for name in columns if name not in concepts]
    if missing:
        got = f"got none for {_listed(missing)}, which would be ruled out for every image"
        yield (
            keys,
            f"expected each of {_listed(columns)}, {got}. Add it, or leave the axis out.",
        )
    homes: dict[int, str] = {}
    for concept, members in concepts.items():
        if concept not in columns:
            yield (*keys, concept), f"unknown.{did_you_mean(concept, columns)} Expected some of: {_listed(columns)}."
        elif not isinstance(members, list) or not members:
            yield (*keys, concept), f"expected a list of at least one class of the network, got {shown(members)}."
        else:
            yield from _check_members((*keys, concept), members, own, homes)


def _check_members(keys: Keys, members: list[Any], own: _OwnClasses, homes: dict[int, str]) -> Iterator[_Finding]:
    """`homes` has the concept of each class that was read before, and gets those of `members`."""
    for place, member in enumerate(members):
        fault = own.fault(member)
        if fault is not None:
            yield (*keys, place), fault
            continue
        index = own.index(member)
        if index in homes:
            yield (
                (*keys, place),
                f"expected each class in one place of an axis, got {member!r}, which is in {homes[index]!r} too.",
            )
        homes.setdefault(index, str(keys[-1]))


def _imagenet() -> tuple[str, ...]:
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def _lines(path: Path) -> tuple[str, ...]:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(
            f"foreign.classes: expected a text file with a name in each line, got {path}: {error}. Name another file."
        ) from error
    return tuple(line.strip() for line in text.splitlines())


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
