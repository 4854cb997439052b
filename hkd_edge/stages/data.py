"""Stage `data`: load the images, check them, hold validation images out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hkd_edge.data.dataset import pixel_statistics, stratified_split
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
    }


def _run(context: Context, key: str) -> list[Path]:
    dataset, data = context.dataset, context.recipe.data
    split = stratified_split(dataset.train.labels, data.validation_fraction, data.split_seed)
    folder = context.run / "data"
    folder.mkdir(exist_ok=True)
    with write_atomically(folder / "split.npz") as temporary:
        np.savez(temporary, train=split.train, validation=split.validation)
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


DATA = Stage("data", _inputs, (), ("data", "stages/data"), _run)
