"""What a recipe may say: every key with its type, limits, default, unit and typical values."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr, model_validator

from hkd_edge.recipe.architecture import Architecture, ArchitectureOrName
from hkd_edge.recipe.data import FROM_DATA, Data
from hkd_edge.recipe.delivery import Bundle, Export, Validate
from hkd_edge.recipe.foreign import Foreign
from hkd_edge.recipe.rules import broken_rules
from hkd_edge.recipe.section import MAX_SEED, REQUIRED, Section, key, path_key, refuse
from hkd_edge.recipe.tracking import Tracking


class Concepts(Section):
    """Which concepts the classes share."""

    hierarchy: str | None = path_key(
        None,
        "YAML file of the hierarchy, from the recipe's folder; folders = the concepts that the data come with: the "
        "folders above the classes, or the columns of a list; null = no hierarchy, so no concept teacher.",
        words=(FROM_DATA,),
    )


class Augment(Section):
    """Random changes of each training image, the same kind in every training."""

    flip: bool = key(False, "Whether half of the images are mirrored left to right.")
    shift_px: int = key(0, "Largest shift along each side, in pixels.", typical="0 to 4", ge=0)
    erase_fraction: float = key(
        0.0, "Share (0 to 1) of the image's area that is erased as one box.", typical="0 to 0.25", ge=0, lt=1
    )
    zoom_fraction: float = key(
        0.0,
        "Largest share by which an image is enlarged around its centre, or shrunk in the same proportion.",
        typical="0 to 0.5",
        ge=0,
        le=4,
    )
    light_fraction: float = key(
        0.0,
        "Largest share (0 to 1) by which an image is made brighter or darker; its colours differ by a quarter of it.",
        typical="0 to 0.4",
        ge=0,
        lt=1,
    )


class Training(Section):
    """One training by SGD with Nesterov momentum, warmed up and then annealed."""

    epochs: int = key(REQUIRED, "Passes over the training images.", typical="3 to 200", ge=1)
    batch_size: int = key(128, "Images in each step.", typical="64 to 1024", ge=1)
    learning_rate: float = key(0.3, "Peak learning rate.", typical="0.05 to 1", gt=0)
    momentum: float = key(0.9, "Nesterov momentum.", typical="0.8 to 0.95", ge=0, lt=1)
    weight_decay: float = key(5e-4, "L2 penalty on the weights.", typical="0 to 0.001", ge=0)
    warmup_fraction: float = key(
        0.2,
        "Share (0 to 1) of the steps in which the learning rate rises.",
        typical="0.05 to 0.3",
        ge=0,
        lt=1,
    )
    progressive_fraction: float = key(
        0.0,
        "Share (0 to 1) of the epochs, the first ones, in which images are made smaller to save time; 0 = off.",
        typical="0 to 0.5",
        ge=0,
        lt=1,
    )
    progressive_scale: float = key(
        0.6, "Height and width of the smaller images, as a share (0 to 1) of the full ones.", gt=0, le=1
    )
    label_smoothing: float = key(
        0.0, "Probability (0 to 1) moved from the label to all classes.", typical="0 to 0.1", ge=0, lt=1
    )
    ema_decay: float = key(
        0.0,
        "Decay per step of the moving average of the weights, which is kept as the result; 0 = off.",
        typical="0 or 0.99 to 0.9999",
        ge=0,
        lt=1,
    )


class Teacher(Section):
    """A network that the student learns from: the concept teacher, or the task teacher of traditional KD.

    It is trained here (`architecture` and `training`), was trained in another run (`checkpoint`), or is foreign.
    """

    architecture: ArchitectureOrName | None = key(None, "The network of a teacher that is trained here.")
    training: Training | None = key(None, "The training of a teacher that is trained here.")
    members: int = key(
        1,
        "How many such networks are trained, from other first weights and in another order; they teach together.",
        typical="1 to 5",
        ge=1,
    )
    checkpoint: str | None = path_key(
        None, "File teacher/concept.pt or teacher/task.pt of another run: that teacher as it is, not trained again."
    )
    foreign: Foreign | None = key(None, "Somebody else's network.")

    def paths(self) -> dict[str, str]:
        """The paths in it by their dotted keys, but for files inside installed packages."""
        found = {} if self.checkpoint is None else {"checkpoint": self.checkpoint}
        for name in ("architecture", "foreign"):
            section: Architecture | Foreign | None = getattr(self, name)
            found.update({f"{name}.{inner}": path for inner, path in (section.paths() if section else {}).items()})
        return found

    def with_paths(self, change: Callable[[str], str]) -> Teacher:
        """The same with every path in it changed."""
        changed = {
            "architecture": self.architecture and self.architecture.with_paths(change),
            "checkpoint": self.checkpoint and change(self.checkpoint),
            "foreign": self.foreign and self.foreign.with_paths(change),
        }
        return self.model_copy(update=changed)


class Student(Section):
    """The compact network that is shipped. Its training is `distill.training`."""

    architecture: ArchitectureOrName = key(REQUIRED, "The student's network.")


class Weights(Section):
    """Weight of each loss in the sum that the student minimises; 0 = the loss is not computed."""

    ce: float = key(1.0, "Weight of the cross-entropy with the labels.", typical="0 to 1", ge=0)
    concept: float = key(0.0, "Weight of matching the concept teacher's concepts.", typical="0 to 2", ge=0)
    embedding: float = key(0.0, "Weight of the cosine to the concept teacher's embedding.", typical="0 to 2", ge=0)
    relational: float = key(
        0.0, "Weight of matching the similarities between the images of a batch.", typical="0 to 2", ge=0
    )
    concept_labels: float = key(
        0.0, "Weight of the cross-entropy with the concept labels, which needs no teacher.", typical="0 to 2", ge=0
    )
    kd: float = key(0.0, "Weight of matching the task teacher's classes (traditional KD).", typical="0 to 2", ge=0)
    dkd: float = key(
        0.0, "Weight of matching the task teacher's classes by decoupled KD; see distill.dkd.", typical="0 to 1", ge=0
    )
    subclass: float = key(
        0.0,
        "Weight of predicting the concept teacher's pseudo-subclasses; see distill.subclass.",
        typical="0 to 2",
        ge=0,
    )


class Dkd(Section):
    """How decoupled KD weighs its two parts."""

    alpha: float = key(1.0, "Weight of the target's probability against all others'.", typical="0 to 2", ge=0)
    beta: float = key(8.0, "Weight of the other classes among themselves.", typical="0.5 to 10", ge=0)


class Subclass(Section):
    """Pseudo-subclasses: clusters of the concept teacher's embeddings inside each concept."""

    per_concept: int = key(4, "Subclasses in each concept.", typical="2 to 16", ge=1)
    temperature: float = key(
        0.1,
        "Divides the cosines to the clusters' centres; small = one subclass, large = all.",
        typical="0.03 to 1",
        gt=0,
    )


class Embedding(Section):
    """Where the losses embedding, relational and subclass take hold of the student."""

    layer: str | None = key(
        None,
        "The student's module whose output, averaged over height and width, is matched, by its name in torch; "
        "null = the embedding before the head.",
        typical="backbone.1",
    )
    projector: Literal["linear", "mlp"] = key(
        "linear",
        "What maps it to the teacher's embedding in training; mlp = a hidden layer as wide as that, and ReLU.",
    )


class Distill(Section):
    """The training of the student under its teachers."""

    training: Training = key(REQUIRED, "The student's training.")
    temperature: float = key(
        4.0,
        "Divides the logits of teacher and student in the concept, kd and dkd losses, and the teacher's in subclass.",
        typical="1 to 10",
        gt=0,
    )
    weights: Weights = key(Weights(), "Weight of each loss.")
    teacher_warmup: float = key(
        0.0,
        "Share (0 to 1) of the epochs, the first ones, in which all weights but ce rise from 0, epoch by epoch.",
        typical="0 to 0.2",
        ge=0,
        lt=1,
    )
    teacher_decay: Literal["none", "linear", "cosine"] = key(
        "none", "How all weights but ce fall to 0 over the epochs; none = they do not."
    )
    dkd: Dkd = key(Dkd(), "The parts of the loss dkd.")
    subclass: Subclass = key(Subclass(), "The subclasses of the loss subclass.")
    embedding: Embedding = key(Embedding(), "What is matched by the losses embedding, relational and subclass.")
    divide_prior: bool = key(
        False, "Whether a concept's probability is divided by its number of classes before it is matched."
    )
    views: int = key(
        2,
        "Augmented views of each training image that the teachers answer once and are then read from a cache for.",
        typical="1 to 16",
        ge=1,
    )
    fresh_views: bool = key(
        False,
        "false = the student sees just the views that were answered, in turn; true = a new view in every epoch, "
        "while the answers still come from the cached views of the same image.",
    )
    labelled_share: float = key(
        0.5,
        "Share (0 to 1) of each batch that has fine labels where images without a class are, or data.label_fraction "
        "hides some; the rest is drawn from all images. Without a loss that could use the rest, all of the batch has "
        "labels.",
        typical="0.25 to 0.75",
        gt=0,
        le=1,
    )


class Recipe(Section):
    """A whole run: data, teachers, student, distillation, files, gates."""

    version: int = key(REQUIRED, "Version of the recipe format.", ge=1, le=1)
    name: str = key(
        REQUIRED,
        "Name of the recipe, which the bundle gets too.",
        expected='a name of letters, digits, "_" and "-"',
        pattern="^[A-Za-z0-9_-]+$",
    )
    seed: int = key(0, "Seed of every random number but the split's.", ge=0, le=MAX_SEED)
    device: str = key(
        "auto",
        "Device that trains; auto = the first CUDA device, or else the CPU.",
        expected='"auto", "cpu", "cuda" or "cuda:0" (with any number)',
        pattern="^(auto|cpu|cuda(:[0-9]+)?)$",
    )
    precision: Literal["auto", "fp32", "bf16"] = key(
        "auto", "Numbers that train: auto = bf16 autocast where the device computes in it, or else fp32."
    )
    data: Data = key(REQUIRED, "The images.")
    concepts: Concepts = key(Concepts(), "The hierarchy of concepts.")
    augment: Augment = key(Augment(), "Random changes of the training images.")
    teacher: Teacher | None = key(None, "The concept teacher; null = none.")
    task_teacher: Teacher | None = key(None, "The task teacher of traditional KD; null = none.")
    student: Student = key(REQUIRED, "The network that is shipped.")
    distill: Distill = key(REQUIRED, "How the student is trained.")
    export: Export = key(Export(), "The files that are made from the student.")
    # pydantic keeps `validate` for itself, so the key `validate` is the attribute `validation`
    validation: Validate = Field(Validate(), alias="validate", description="What an artefact must hold to ship.")
    bundle: Bundle = key(Bundle(), "What is put beside the artefacts.")
    tracking: Tracking = key(Tracking(), "Who beside metrics.jsonl is told how trainings go; changes no result.")

    _folder: Path = PrivateAttr(default_factory=Path)

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        refuse(f"recipe.{'.'.join(keys)}: {reason}" for keys, reason in broken_rules(self.model_dump()))
        return self

    def __eq__(self, other: object) -> bool:
        """Whether both say the same; the folders they were read from do not matter."""
        return isinstance(other, Recipe) and self.model_dump() == other.model_dump()

    @property
    def folder(self) -> Path:
        """The folder that the recipe's relative paths start from."""
        return self._folder

    @property
    def data_root(self) -> Path | None:
        """`data.root` from the current folder, or None."""
        return self._from_folder(self.data.root)

    @property
    def hierarchy_path(self) -> Path | None:
        """`concepts.hierarchy` from the current folder; None if it is null or `folders`."""
        return None if self.hierarchy_from_data else self._from_folder(self.concepts.hierarchy)

    @property
    def hierarchy_from_data(self) -> bool:
        """Whether the hierarchy is the one that the data come with."""
        return self.concepts.hierarchy == FROM_DATA

    def in_folder(self, folder: Path) -> Recipe:
        """The same words, whose relative paths start from `folder`."""
        placed = self.model_copy()
        placed._folder = folder
        return placed

    def located(self, architecture: Architecture) -> Architecture:
        """One of this recipe's architectures with the path of its weights from the current folder."""
        return architecture.with_paths(self._located)

    def located_teacher(self, teacher: Teacher) -> Teacher:
        """One of this recipe's teachers with its paths from the current folder."""
        return teacher.with_paths(self._located)

    def moved_to(self, folder: Path) -> Recipe:
        """The same meaning in `folder`: relative paths are rewritten to name the same files from there."""
        moved: dict[str, Section] = {
            "data": self.data.model_copy(update={"root": self._seen_from(folder, self.data.root)}),
            "concepts": self.concepts.model_copy(update={"hierarchy": self._seen_from(folder, self.concepts.hierarchy)})
            if not self.hierarchy_from_data
            else self.concepts,
        }
        teachers = {"teacher": self.teacher, "task_teacher": self.task_teacher}
        moved |= {
            role: each.with_paths(lambda path: self._moved(folder, path)) for role, each in teachers.items() if each
        }
        architecture = self.student.architecture.with_paths(lambda path: self._moved(folder, path))
        moved["student"] = self.student.model_copy(update={"architecture": architecture})
        return self.model_copy(update=moved).in_folder(folder)

    def _from_folder(self, path: str | None) -> Path | None:
        return None if path is None else self._folder / Path(path).expanduser()

    def _located(self, path: str) -> str:
        return str(self._folder / Path(path).expanduser())

    def _seen_from(self, folder: Path, path: str | None) -> str | None:
        return None if path is None else self._moved(folder, path)

    def _moved(self, folder: Path, path: str) -> str:
        if Path(path).expanduser().is_absolute():
            return path
        return Path(os.path.relpath(self._folder / path, folder)).as_posix()
