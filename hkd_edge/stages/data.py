"""Stage `data`: load the images, check them, hold validation images out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hkd_edge.data.dataset import Split, pixel_statistics, stratified_split
from hkd_edge.data.labelled import class_indices, labelled_images
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stage
from hkd_edge_runtime.files import write_atomically, write_json_atomically

FACTS_FILE = "data/data.json"


def _inputs(context: Context) -> Mapping[str, Any]:
    data = context.recipe.data
    return {
        "fingerprint": context.dataset.fingerprint,
        "validation_fraction": data.validation_fraction,
        "split_seed": data.split_seed,
        "label_fraction": data.label_fraction,
        "label_seed": data.label_seed,
        "unlabelled_classes": data.unlabelled_classes,
    }


def _run(context: Context, key: str) -> list[Path]:
    dataset, data = context.dataset, context.recipe.data
    split = stratified_split(dataset.train.labels, data.validation_fraction, data.split_seed)
    folder = context.run / "data"
    folder.mkdir(exist_ok=True)
    with write_atomically(folder / "split.npz") as temporary:
        np.savez(temporary, **_arrays(context, split))
    mean, std = pixel_statistics(dataset.train.images[split.train])
    counts = {"train": len(split.train), "validation": len(split.validation), "test": len(dataset.test)}
    facts = {
        "name": dataset.name,
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "classes": dataset.classes,
        "image_shape": dataset.train.images.shape[1:],
        "images": counts,
        "mean": mean,
        "std": std,
    }
    write_json_atomically(context.run / FACTS_FILE, facts)
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    context.reporter.note("data", f"{dataset.name} from {dataset.source}: {told} images")
    return [folder / "split.npz", context.run / FACTS_FILE]


def _arrays(context: Context, split: Split) -> dict[str, Any]:
    """The split, with the images that have a fine label if the recipe hides the labels of others."""
    arrays = {"train": split.train, "validation": split.validation}
    dataset, data = context.dataset, context.recipe.data
    if data.label_fraction == 1 and not data.unlabelled_classes:
        return arrays
    hidden = class_indices(data.unlabelled_classes, dataset.classes)
    labelled = labelled_images(dataset.train.labels[split.train], data.label_fraction, hidden, data.label_seed)
    context.reporter.note("data", f"{len(labelled):,} of {len(split.train):,} training images keep their fine label")
    return {**arrays, "labelled": labelled}


DATA = Stage("data", _inputs, (), ("data", "stages/data"), _run)
