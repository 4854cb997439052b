"""What images without a class are worth: `python -m tests.data.measure_unlabelled FOLDER SEED...`

For each seed 100 drawn pictures of each of four classes to train on, of which 10 keep their class and 90 only their
kind; 100 pictures for validation and 1,000 for the test, the same for all seeds. `hkd-edge init` writes the recipes.
Students are compared that took as many steps of as many images; top-1 is of torch fp32. A line of JSON each.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from click.testing import CliRunner
from rich.console import Console

from hkd_edge.cli import cli
from hkd_edge.pipeline import run_pipeline
from hkd_edge.recipe import load_recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge.study.cells import Measures
from hkd_edge.study.measure import measure_student
from tests.data.drawn import KINDS, draw

EACH, LABELLED = 100, 10  # pictures of each class to train on, and those of them that keep it
EPOCHS, TEACHER_EPOCHS = 40, 10  # over all pictures
HELD_OUT = {"val": (500_000, 25), "test": (600_000, 250)}  # first number, and how many of each class
# The pictures, the weight of the concept teacher, and how many times the epochs.
VARIANTS = {
    "with": ("partly", 0.5, 1),
    "without": ("few", 0.5, EACH // LABELLED),
    "all with a class": ("full", 0.05, 1),
}


def write_pictures(root: Path, seed: int) -> None:
    """The sets `partly`, `few` (without the pictures that have no class) and `full` (all have one) below `root`."""
    parts = {"train": (10_000 * (seed + 1), EACH), **HELD_OUT}
    for part, (start, count) in parts.items():
        for kind, labels in KINDS.items():
            for label in labels:
                for number in range(count):
                    known = part != "train" or number < LABELLED
                    picture = draw(label, start + number, (48, 40))
                    places = {
                        "partly": label if known else "_unlabelled",
                        "full": label,
                        "few": label if known else None,
                    }
                    for name, folder in places.items():
                        if folder is not None:
                            place = root / name / part / kind / folder
                            place.mkdir(parents=True, exist_ok=True)
                            picture.save(place / f"{label}{number:04}.jpg", quality=92)


def write_recipe(root: Path, seed: int, pictures: str, weight: float, times: int) -> Path:
    """The recipe that `hkd-edge init` writes, of this seed, this weight and these epochs."""
    recipe = root / f"{pictures}_project" / "recipe.yaml"
    if not recipe.exists():
        words = ["init", recipe.parent, "--data", root / pictures, "--image-size", "32", "--minutes", "60"]
        CliRunner().invoke(cli, [*map(str, words)], catch_exceptions=False)
    text = recipe.read_text()
    for pattern, value in (
        (r"(\n    epochs: )\d+", EPOCHS * times),
        (r"(training: \{epochs: )\d+", TEACHER_EPOCHS * times),
        (r"(concept: )[0-9.]+(?=\})", weight),
        (r"(\nseed: )0", seed),
    ):
        text, count = re.subn(pattern, rf"\g<1>{value}", text)
        assert count == 1, pattern
    changed = recipe.with_name("changed.yaml")
    changed.write_text(text)
    return changed


def measured(recipe: Path, run: Path) -> Measures:
    """The student of `recipe` on the test images."""
    shutil.rmtree(run, ignore_errors=True)
    with Reporter(Console(quiet=True)) as reporter:
        loaded = load_recipe(str(recipe))
        run_pipeline(loaded, run, reporter, until="distill")
        return measure_student(Context(loaded, run, reporter), "")[1]


def rows(folder: Path, seeds: list[int]) -> Iterator[dict[str, object]]:
    for seed in seeds:
        root = folder / f"seed{seed}"
        if not root.exists():
            write_pictures(root, seed)
        for name, (pictures, weight, times) in VARIANTS.items():
            found = measured(write_recipe(root, seed, pictures, weight, times), root / "run")
            yield {"seed": seed, "name": name, "top1": found.top1, "concept": found.concept_mean, "n": found.images}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for row in rows(Path(sys.argv[1]), [*map(int, sys.argv[2:])]):
        print(json.dumps(row), flush=True)
