"""Classes whose groups are known, for tests of suggestions."""

from __future__ import annotations

import numpy as np

from hkd_edge.concepts.suggest import Evidence

CLASSES = ("Coat", "Boot", "Shirt", "Sandal", "Bag", "Sneaker")
UPPER, FEET = {"Coat", "Shirt"}, {"Boot", "Sandal", "Sneaker"}
# Coat and Boot cover much, Shirt and Sandal little: a second way of grouping, by the second number.
EMBEDDINGS = np.array([[9, 1, 0], [0, 1.1, 0], [9, -1, 0.1], [0, -1.1, 0.1], [4, 0, 9], [0, -0.9, 0.2]])


def confusions(inside: float = 0.1, outside: float = 0.001) -> np.ndarray:
    """Rows of probabilities: `inside` for classes of a group, `outside` for others."""
    homes = [{"Coat": 0, "Shirt": 0, "Bag": 1}.get(name, 2) for name in CLASSES]
    same = np.equal.outer(homes, homes)
    shares = np.where(same, inside, outside)
    np.fill_diagonal(shares, 0)
    np.fill_diagonal(shares, 1 - shares.sum(axis=1))
    return shares


def evidence() -> Evidence:
    return Evidence(CLASSES, confusions(), EMBEDDINGS, "a drawn network")
