"""The methods that studies know by name, each as what it changes in a recipe.

Every one sets all weights, so that nothing of the base recipe's mixture is left in it. A weight of 1 beside labels of
weight 1 is a start, not a choice: give `variants` and let the validation images choose.
"""

from __future__ import annotations

from typing import Any

_OTHERS = dict.fromkeys(("concept", "embedding", "relational", "subclass", "concept_labels", "kd", "dkd"), 0.0)


def _distill(label_smoothing: float = 0.0, **weights: float) -> dict[str, Any]:
    return {
        "distill": {
            "training": {"label_smoothing": label_smoothing},
            "weights": {"ce": 1.0, **_OTHERS, **weights},
        }
    }


READY: dict[str, dict[str, Any]] = {
    "scratch": _distill(),
    "label_smoothing": _distill(label_smoothing=0.1),
    "concept_labels": _distill(concept_labels=1.0),
    "kd": _distill(kd=1.0),
    "dkd": _distill(dkd=1.0),
    "hkd_concept": _distill(concept=1.0),
    "hkd_embedding": _distill(embedding=1.0),
    "hkd_relational": _distill(relational=1.0),
    "hkd_subclass": _distill(subclass=1.0),
    "kd_hkd": _distill(kd=1.0, concept=1.0),
}
