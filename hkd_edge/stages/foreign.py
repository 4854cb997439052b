"""Teachers that are not trained here, within a run: checked, fitted with a head, answered once, and kept in a file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hkd_edge.data.augment import Normalization
from hkd_edge.distill.cache import TeacherAnswers, discard_others, teacher_answers
from hkd_edge.distill.losses import concept_label_loss
from hkd_edge.distill.teacher import AxisTables, concept_accuracies
from hkd_edge.errors import TrainingError
from hkd_edge.evaluate.metrics import predict_logits, top1
from hkd_edge.models.network import Ensemble, Network, count_parameters
from hkd_edge.recipe.foreign import Foreign, ForeignInput
from hkd_edge.recipe.schema import Augment, Recipe, Teacher
from hkd_edge.run.context import Context
from hkd_edge.run.stage import code_digest, digest
from hkd_edge.teachers.files import file_digests
from hkd_edge.teachers.images import FitImages
from hkd_edge.teachers.mapping import groups_of
from hkd_edge.teachers.network import AdaptedTeacher, ForeignTeacher, foreign_teacher
from hkd_edge.teachers.probe import Labels, columns_of, fit_linear_head
from hkd_edge.teachers.saved import SavedTeacher, TeacherInput, columns_for, read_teacher, save_teacher
from hkd_edge.train.team import ALONE, Team
from hkd_edge_runtime.files import copy_atomically, sha256_file

_NOT_TRAINED = "not trained here"
_EXAMPLES = 2  # images that a foreign network is tried on before it gets them all
# The source that decides the answers of a foreign network without its head.
_CODE = (
    *("data", "models/from_torchvision", "distill/cache"),
    *("teachers/images", "teachers/mapping", "teachers/network", "teachers/onnx_trunk", "teachers/torch_trunk"),
)
# What of `foreign` its answers do not depend on: how a head is trained on them.
_OF_THE_HEAD = {"head", "head_decay"}


def images_of(context: Context) -> TeacherInput:
    """The run's images and their normalisation."""
    facts = context.read_json("data/data.json")
    return TeacherInput(tuple(facts["image_shape"]), tuple(facts["mean"]), tuple(facts["std"]))


def teacher_file(context: Context, role: str) -> Path:
    """Where the run keeps its teacher of `role`."""
    return context.run / "teacher" / f"{role}.pt"


def own_teacher(context: Context, role: str, saved: SavedTeacher) -> Network | Ensemble | AdaptedTeacher:
    """The network of ours in `saved` behind this run's images, on the training device.

    Raises:
        TrainingError: if it does not know this run's concepts or classes.
    """
    network, images = saved.network(), images_of(context)
    columns = columns_for(saved, context.hierarchy(), role)
    teacher: Network | Ensemble | AdaptedTeacher = network
    if saved.images != images or columns != list(range(saved.outputs)):
        height, width, channels = saved.images.shape
        taken = ForeignInput(
            size=(height, width),
            mean=saved.images.mean,
            std=saved.images.std,
            channels="grey" if channels == 1 else "rgb",
        )
        teacher = AdaptedTeacher(FitImages(images.mean, images.std, taken), network, columns)
    return teacher.to(context.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def take_checkpoint(context: Context, role: str, settings: Teacher) -> dict[str, Any]:
    """Copies the checkpoint of another run into this one; its metrics on this run's validation images."""
    started, path = time.perf_counter(), Path(str(settings.checkpoint))
    saved = read_teacher(path)
    if saved.foreign is not None:
        raise TrainingError(
            f"{path}: expected a teacher that was trained by hkd-edge, got the head of a foreign network. "
            "Copy that recipe's section foreign instead."
        )
    teacher = own_teacher(context, role, saved)
    copy_atomically(path, teacher_file(context, role))
    return judged_at_once(context, role, _NOT_TRAINED, teacher, count_parameters(teacher), None, started)


def make_foreign(context: Context, role: str, settings: Teacher) -> dict[str, Any]:
    """Tries the foreign network, trains its head if it shall have one, and writes its file; its metrics."""
    started, foreign = time.perf_counter(), _foreign(settings)
    teacher, loss = foreign_body(context, role, settings), None
    if foreign.linear_head:
        answers = foreign_answers(context, role, settings, teacher, views=1)
        labels = _labels(context, role)
        context.reporter.note("teach", f"{role} teacher: a linear head on {answers.embedding_size} numbers")
        every = torch.arange(len(context.resident.train), device=context.device)
        teacher.head, loss = fit_linear_head(answers.embeddings(0, every), labels, foreign.head_decay)
    images, digests = images_of(context), file_digests(settings, role)
    kept = foreign.model_dump(mode="json") | foreign.with_paths(lambda path: Path(path).name).model_dump(mode="json")
    described = {**kept, "sha256": digests}
    weights = teacher.head.state_dict() if teacher.head is not None else {}
    saved = SavedTeacher(role, context.hierarchy(), images, None, described, weights)
    save_teacher(teacher_file(context, role), saved)
    return judged_at_once(context, role, _NOT_TRAINED, teacher, teacher.trunk.parameter_count, loss, started)


def load_foreign(context: Context, role: str, settings: Teacher) -> ForeignTeacher:
    """The foreign teacher with its head, as `make_foreign` has left it."""
    teacher = foreign_body(context, role, settings)
    teacher.head = saved_head(context, role)
    return teacher


def saved_head(context: Context, role: str) -> nn.Linear | None:
    """The head that was trained for the foreign teacher of `role`, on the training device."""
    weights = read_teacher(teacher_file(context, role)).weights
    if not weights:
        return None
    outputs, inputs = weights["weight"].shape
    head = nn.Linear(inputs, outputs)
    head.load_state_dict(dict(weights))
    return head.to(context.device).requires_grad_(False)


def foreign_body(context: Context, role: str, settings: Teacher) -> ForeignTeacher:
    """The foreign teacher without its head, on the training device, tried on images of the run."""
    images, foreign = images_of(context), _foreign(settings)
    normalize = Normalization(images.mean, images.std)
    example = normalize(torch.tensor(context.dataset.train.images[:_EXAMPLES]))
    fit, groups = FitImages(images.mean, images.std, foreign.input), groups_of(context.hierarchy(), role)
    teacher = foreign_teacher(foreign, fit, example, groups, role)
    return teacher.to(context.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def foreign_answers(
    context: Context, role: str, settings: Teacher, body: ForeignTeacher, views: int, team: Team = ALONE
) -> TeacherAnswers:
    """The answers of the network without its head to the first `views` views, from the run's cache or made now."""
    folder = context.run / "cache" / f"foreign-{role}-{_answers_key(context, role, settings)[:16]}"
    if team.first:
        discard_others(folder, f"foreign-{role}")
    return teacher_answers(
        body,
        context.resident,
        views,
        folder,
        context.precision,
        lambda done, total: context.reporter.work(f"{role} teacher answers views", done, total),
        silent_axes=body.silent_axes,
        team=team,
    )


def _answers_key(context: Context, role: str, settings: Teacher) -> str:
    foreign = _foreign(settings).with_paths(lambda path: Path(path).name)
    return digest(
        {
            "network": foreign.model_dump(mode="json", exclude=_OF_THE_HEAD),
            "files": file_digests(settings, role),
            "groups": {axis: list(names) for axis, names in groups_of(context.hierarchy(), role).items()},
            "split": sha256_file(context.run / "data" / "split.npz"),
            "fingerprint": context.dataset.fingerprint,
            "views": _views(context.recipe),
            "precision": context.precision,
            "code": [code_digest(room) for room in _CODE],
        }
    )


def _views(recipe: Recipe) -> dict[str, Any] | None:
    """What views are drawn from; None where every view is the plain image, whatever the seed."""
    return None if recipe.augment == Augment() else {"augment": recipe.augment.model_dump(), "seed": recipe.seed}


def _foreign(settings: Teacher) -> Foreign:
    if settings.foreign is None:
        raise ValueError("teacher: expected a foreign one.")
    return settings.foreign


def _labels(context: Context, role: str) -> Labels:
    """The concepts of the training images, or the classes of those whose fine label may be used."""
    hierarchy, data = context.hierarchy(), context.resident
    if role == "concept":
        places = AxisTables.of(hierarchy, context.device, data.unlabelled).class_to_concepts[data.train.labels]
        return Labels(places, columns_of([len(axis.concepts) for axis in hierarchy.axes]))
    places = data.train.labels
    if data.labelled is not None:
        hidden = torch.full_like(places, -1)
        hidden[data.labelled] = places[data.labelled]
        places = hidden
    return Labels(places[:, None], columns_of([len(hierarchy.classes)]), data.class_weights)


def judged_at_once(
    context: Context, role: str, how: str, teacher: nn.Module, parameters: int, loss: float | None, started: float
) -> dict[str, Any]:
    """Metrics as of a teacher that was trained in one epoch, in none if it only embeds; tells them, and `how` it came.

    `loss` None = of validation images; `started` by time.perf_counter().
    """
    data = context.resident
    logits = predict_logits(teacher, data.validation.images, data.normalize, context.precision)
    said, validation_loss = _judged(context, role, logits, getattr(teacher, "silent_axes", ()))
    told = ", ".join(f"{name} {accuracy:.2f} %" for name, accuracy in said.items()) or "embeds, and says no more"
    context.reporter.note(
        "teach",
        f"{role} teacher, {how}: {parameters:,} parameters; {told} of {len(logits):,} validation images",
    )
    if not said:
        return {"parameters": parameters, "epochs": []}
    epoch = {
        "epoch": 0,
        "loss": validation_loss if loss is None else loss,
        "accuracies": said,
        "seconds": time.perf_counter() - started,
    }
    return {"parameters": parameters, "epochs": [epoch]}


def _judged(
    context: Context, role: str, logits: Tensor, silent_axes: tuple[int, ...]
) -> tuple[Mapping[str, float], float]:
    """Accuracies in percent by name, and the cross-entropy, on the validation images; of nothing if it only embeds."""
    if logits.shape[1] == 0:
        return {}, 0.0
    labels = context.resident.validation.labels
    if role == "task":
        return {"top1": top1(logits, labels)}, float(nn.functional.cross_entropy(logits, labels))
    hierarchy = context.hierarchy()
    tables = AxisTables.of(hierarchy, context.device)
    spoken = [axis for axis in range(len(hierarchy.axes)) if axis not in silent_axes]
    axes, places = [tables.split(logits)[axis] for axis in spoken], tables.class_to_concepts[labels][:, spoken]
    names = [hierarchy.axes[axis].name for axis in spoken]
    return concept_accuracies(axes, places, names), float(concept_label_loss(axes, places))
