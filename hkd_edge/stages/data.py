"""Stage `data`: load the images, check them, hold validation images out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hkd_edge.data.dataset import Dataset, Origin, Split, pixel_statistics
from hkd_edge.data.labelled import class_indices, labelled_images
from hkd_edge.data.load import split_data
from hkd_edge.data.unlabelled import counts_by_concepts
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage
from hkd_edge_runtime.files import write_atomically, write_bytes_atomically, write_json_atomically

FACTS_FILE = "data/data.json"
FINDINGS_FILE = "data/findings.json"
IMAGES_FILE = "data/images.csv"


def _inputs(context: Context) -> Mapping[str, Any]:
    data = context.recipe.data
    return {
        "fingerprint": context.dataset.fingerprint,
        "validation_fraction": data.validation_fraction,
        "split_seed": data.split_seed,
        "balance": data.balance,
        "label_fraction": data.label_fraction,
        "label_seed": data.label_seed,
        "unlabelled_classes": data.unlabelled_classes,
    }


def _run(context: Context, key: str) -> list[Path]:
    dataset, data = context.dataset, context.recipe.data
    split = split_data(dataset, data)
    folder = context.run / "data"
    folder.mkdir(exist_ok=True)
    with write_atomically(folder / "split.npz") as temporary:
        np.savez(temporary, **_arrays(context, split))
    mean, std = pixel_statistics(dataset.train.take(split.train).images)
    counts = {"train": len(split.train), "validation": len(split.validation), "test": len(dataset.test)}
    facts = {
        "name": dataset.name,
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "classes": dataset.classes,
        "image_shape": dataset.train.images.shape[1:],
        "images": counts,
        "train_images_by_class": _by_class(dataset, split),
        "train_images_without_class": _without_class(dataset, split),
        "balance": data.balance,
        "mean": mean,
        "std": std,
    }
    write_json_atomically(context.run / FACTS_FILE, facts)
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    context.reporter.note("data", f"{dataset.name} from {dataset.source}: {told} images")
    for note in _notes_of_unlabelled(dataset, split):
        context.reporter.note("data", note)
    written = [folder / "split.npz", context.run / FACTS_FILE]
    return written if dataset.origin is None else [*written, *_of_own_images(context, dataset, dataset.origin, split)]


def _by_class(dataset: Dataset, split: Split) -> dict[str, int]:
    labels = dataset.train.labels[split.train[dataset.has_class[split.train]]]
    counts = np.bincount(labels, minlength=len(dataset.classes))
    return dict(zip(dataset.classes, counts.tolist(), strict=True))


def _without_class(dataset: Dataset, split: Split) -> dict[str, int]:
    return counts_by_concepts(dataset.unlabelled, dataset.train.labels[split.train], len(dataset.classes))


def _notes_of_unlabelled(dataset: Dataset, split: Split) -> Iterator[str]:
    if without := {concepts: count for concepts, count in _without_class(dataset, split).items() if count}:
        told = ", ".join(f"{count:,} of {concepts}" for concepts, count in without.items())
        yield f"{sum(without.values()):,} of the training images have no class: {told}"
    if left_out := len(dataset.train) - len(split.train) - len(split.validation):
        yield f"{left_out:,} images without a class are left out: of one group with an image held out"


def _of_own_images(context: Context, dataset: Dataset, origin: Origin, split: Split) -> list[Path]:
    """Writes what was found of the user's files, and which of them is on which side."""
    for note in origin.notes:
        context.reporter.note("data", note)
    write_json_atomically(context.run / FINDINGS_FILE, asdict(origin.findings))
    write_bytes_atomically(context.run / IMAGES_FILE, _sides(dataset, origin, split).encode("utf-8", "surrogateescape"))
    return [context.run / FINDINGS_FILE, context.run / IMAGES_FILE]


def _sides(dataset: Dataset, origin: Origin, split: Split) -> str:
    """CSV: every image's path below the root, its class and its split, in the order of the arrays.

    The class of some is not known and empty; of these some are in no split, `left out`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "split"])
    side = np.full(len(dataset.train), "left out", dtype="<U10")
    side[split.train], side[split.validation] = "train", "validation"
    classes = (*dataset.classes, *[""] * len(dataset.unlabelled))
    for names, labels, sides in (
        (origin.train_names, dataset.train.labels, side.tolist()),
        (origin.test_names, dataset.test.labels, ["test"] * len(dataset.test)),
    ):
        writer.writerows(zip(names, (classes[label] for label in labels), sides, strict=True))
    return text.getvalue()


def _arrays(context: Context, split: Split) -> dict[str, Any]:
    """The split, with the images that have a fine label if others have none, or the recipe hides theirs."""
    arrays = {"train": split.train, "validation": split.validation}
    dataset, data = context.dataset, context.recipe.data
    if data.label_fraction == 1 and not data.unlabelled_classes and not dataset.unlabelled:
        return arrays
    hidden = class_indices(data.unlabelled_classes, dataset.classes)
    known = np.flatnonzero(dataset.has_class[split.train])
    labels = dataset.train.labels[split.train[known]]
    labelled = known[labelled_images(labels, data.label_fraction, hidden, data.label_seed)]
    if len(labelled) < len(known):
        told = f"{len(labelled):,} of {len(known):,} training images keep their fine label"
        context.reporter.note("data", told)
    return {**arrays, "labelled": labelled}


DATA = Stage("data", _inputs, (), ("data", "stages/data"), _run)
