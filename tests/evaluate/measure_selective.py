"""How often the thresholds of a finished run miss the wanted accuracy, by drawing validation images again and again.

    python -m tests.evaluate.measure_selective RUN [TARGET PRECISION]

The run's validation and test images together are taken for the whole world, so that the true accuracy above a threshold
is known. Each draw calibrates on as many images as the run had for validation, drawn from it with replacement.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console

from hkd_edge.evaluate.artefacts import answer
from hkd_edge.evaluate.selective import calibrate
from hkd_edge.recipe import load_recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge.stages.export import artefacts
from hkd_edge_runtime.decision import temper

DRAWS = 500


def main(run: Path, target: str = "onnxruntime", precision: str = "int8") -> None:
    """Prints, for classes and each axis, in how many draws a threshold was found and in how many it missed."""
    context = Context(load_recipe(str(run / "recipe.yaml")), run, Reporter(Console(stderr=True)))
    wanted, hierarchy = context.recipe.validation.selective, context.hierarchy()
    artefact = next(each for each in artefacts(context) if (each.target, each.precision) == (target, precision))
    validation, test = context.dataset.train.take(context.split().validation), context.dataset.test
    labels = np.concatenate([validation.labels, test.labels])
    logits = np.concatenate([answer(artefact, images).logits for images in (validation.images, test.images)])
    generator = np.random.default_rng(0)
    found: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for _ in range(DRAWS):
        drawn = generator.integers(0, len(labels), len(validation))
        confidence = calibrate(logits[drawn], labels[drawn], hierarchy, wanted)
        probabilities = temper(logits, confidence.temperature)
        sure = np.full(len(labels), False)
        if confidence.label:
            sure = probabilities.max(axis=1) >= confidence.label.threshold
            found["class"] += 1
            missed["class"] += 100 * np.mean(probabilities.argmax(axis=1)[sure] == labels[sure]) < wanted.accuracy
        for axis in hierarchy.axes:
            if axis.name in confidence.axes:
                masses = probabilities @ axis.membership()
                spoken = masses.max(axis=1) >= np.maximum(1 - masses.sum(axis=1), confidence.axes[axis.name].threshold)
                right = np.asarray(axis.class_to_concept)[labels] == masses.argmax(axis=1)
                found[axis.name] += 1
                missed[axis.name] += 100 * np.mean(right[spoken & ~sure]) < wanted.accuracy
    for name in ("class", *(axis.name for axis in hierarchy.axes)):
        print(
            f"{target} {precision}, {name}: a threshold in {found[name]} of {DRAWS} draws of "
            f"{len(validation):,} images, below {wanted.accuracy:g} % on all {len(labels):,} in {missed[name]}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
