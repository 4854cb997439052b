"""The recipe as commented YAML."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hkd_edge.start.choose import Choice

_COLUMN = 33  # where comments begin


@dataclass(frozen=True)
class Images:
    """What the recipe says of the images; `told` says in a line what they are, `hierarchy` is a file of concepts."""

    told: str
    dataset: str
    root: str
    color: str
    group_by: str | None
    max_unreadable: float
    hierarchy: str | None = None


def recipe_text(name: str, images: Images, choice: Choice) -> str:
    """A recipe that runs as it is."""
    sections = (
        _head(name, images, choice),
        _data(images, choice),
        _concepts(images, choice),
        _augment(choice),
        _teacher(choice),
        _student(choice),
        _distill(choice),
        _export(),
        _validate(choice),
    )
    texts = ["".join(f"{line}\n" for line in section) for section in sections]
    return "\n".join(text for text in texts if text)


def _head(name: str, images: Images, choice: Choice) -> Iterator[str]:
    yield f"# Written by `hkd-edge init` for {images.told}. Edit it; every key: hkd-edge recipes schema"
    for reason in choice.reasons:
        yield f"# - {reason}"
    yield _told("version: 1", "of the recipe format")
    yield _told(f"name: {name}", "the bundle gets it too")
    yield "seed: 0"


def _data(images: Images, choice: Choice) -> Iterator[str]:
    yield "data:"
    yield f"  dataset: {images.dataset}"
    yield _told(f"  root: {_quoted(images.root)}", "from the folder of this file")
    yield _told(f"  image_size: {choice.size}", "pixels; the board fits pictures by the same code")
    yield _told(f"  color: {images.color}", "rgb or grey")
    yield _told("  validation_fraction: 0.15", "of the training images; every choice is made on them")
    yield _told("  test_fraction: 0.15", "of all images; they only judge")
    yield _told(f"  group_by: {_quoted(images.group_by)}", "regular expression on file names: what stays on one side")
    yield _told(f"  max_unreadable: {images.max_unreadable:g}", "share of images that may be unreadable")
    yield _told(f"  balance: {choice.balance}", "weights = rare classes count for more")


def _concepts(images: Images, choice: Choice) -> Iterator[str]:
    yield "concepts:"
    if choice.teacher is None:
        yield _told("  hierarchy: null", "a YAML file of groups of classes")
    else:
        hierarchy = "folders" if images.hierarchy is None else _quoted(images.hierarchy)
        yield _told(f"  hierarchy: {hierarchy}", "the groups that the data come with, or a YAML file")


def _augment(choice: Choice) -> Iterator[str]:
    yield "augment:"
    yield _told("  flip: true", "half of the images are mirrored; false where left and right differ")
    yield _told(f"  shift_px: {choice.shift_px}", "pixels")
    yield _told("  zoom_fraction: 0.3", "up to this share larger, or smaller in proportion; 0 where size tells classes")
    yield _told("  light_fraction: 0.3", "up to this share brighter or darker; 0 where brightness tells classes")


def _teacher(choice: Choice) -> Iterator[str]:
    if choice.teacher is not None:
        yield _told("teacher:", "learns the concepts, never the classes")
        yield f"  architecture: {_flow(choice.teacher)}"
        yield f"  training: {_flow({'epochs': choice.teacher_epochs, 'batch_size': choice.batch_size})}"


def _student(choice: Choice) -> Iterator[str]:
    yield _told("student:", "what is shipped")
    yield f"  architecture: {_flow(choice.student)}"


def _distill(choice: Choice) -> Iterator[str]:
    yield "distill:"
    yield "  training:"
    yield _told(f"    epochs: {choice.epochs}", "passes over the training images")
    yield _told(f"    batch_size: {choice.batch_size}", "images in each step")
    yield "    label_smoothing: 0.05"
    yield "  fresh_views: true"
    if choice.teacher is not None:
        yield "  temperature: 2.0"
        weights = f"{{ce: 1.0, concept: {choice.concept_weight:g}}}"
        yield _told(f"  weights: {weights}", "of the labels, and of the teacher's concepts")
    if choice.labelled_share is not None:
        yield _told(f"  labelled_share: {choice.labelled_share:g}", "of each batch; the rest is drawn from all images")


def _export() -> Iterator[str]:
    yield "export:"
    yield _told("  targets: [onnxruntime, openvino, tensorrt]", "leave out what your board has not")
    yield "  precisions: [fp32, fp16, int8]"


def _validate(choice: Choice) -> Iterator[str]:
    yield _told("validate:", "gates; by chance few validation images lose more")
    for gate, limit in choice.gates.items():
        yield f"  {gate}: {limit:g}"
    yield "  selective:"
    yield _told(f"    accuracy: {choice.accuracy:g}", "percent; about what your validation images can prove")


def _told(line: str, comment: str) -> str:
    return f"{line:<{_COLUMN - 1}} # {comment}"


def _flow(value: dict[str, Any]) -> str:
    """A mapping in one line: {key: value, ...}."""
    return "{" + ", ".join(f"{key}: {each}" for key, each in value.items()) + "}"


def _quoted(text: str | None) -> str:
    """A text as YAML's double-quoted scalar, whatever is in it; null for none."""
    return json.dumps(text, ensure_ascii=False)
