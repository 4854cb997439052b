"""A tree over classes, joined pair by pair from the nearest on, and where to cut it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cophenet, leaves_list, linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import silhouette_score

from hkd_edge.concepts.distances import Floats

Linkage = Literal["average", "ward"]
_ALIKE = 1e-9  # of the largest distance: less than this apart, distances are equal but for rounding


@dataclass(frozen=True, eq=False)
class Tree:
    """Classes joined step by step.

    Attributes:
        classes: the n leaves, sorted by name, so that the order in which classes were given decides nothing, not even
            between equal distances.
        merges: (n - 1, 4), scipy's linkage: the two nodes that are joined, the height, the leaves below.
        distances: (n, n) between the leaves.
        linkage: `average`, which asks nothing of distances, or `ward`, which asks for Euclidean ones
            (F. Murtagh, P. Legendre, Journal of Classification 31 (2014), 274-295).
    """

    classes: tuple[str, ...]
    merges: Floats
    distances: Floats
    linkage: Linkage

    @property
    def heights(self) -> tuple[float, ...]:
        """The height of each join, rising."""
        return tuple(float(height) for height in self.merges[:, 2])

    @property
    def leaf_order(self) -> tuple[int, ...]:
        """Indices into `classes` such that no two lines of a drawing cross."""
        return tuple(int(leaf) for leaf in leaves_list(self.merges))

    @property
    def is_flat(self) -> bool:
        """Whether all distances are the same, so that nothing says what to join first."""
        between = self.distances[np.triu_indices(len(self.classes), 1)]
        return bool(np.ptp(between) <= _ALIKE * between.max())

    def groups(self, count: int) -> tuple[tuple[str, ...], ...]:
        """The `count` groups (1 to n) that are left when the last joins are undone, in the order of the leaves."""
        leaves = len(self.classes)
        members = {leaf: [leaf] for leaf in range(leaves)}
        for step in range(leaves - count):
            one, other = (int(node) for node in self.merges[step, :2])
            members[leaves + step] = members.pop(one) + members.pop(other)
        return tuple(tuple(self.classes[leaf] for leaf in sorted(group)) for group in sorted(members.values()))

    def span(self, count: int) -> tuple[float, float]:
        """Between which heights there are `count` groups (2 to n - 1)."""
        leaves = len(self.classes)
        return self.heights[leaves - count - 1], self.heights[leaves - count]

    def complete_at(self, group: Sequence[str]) -> float:
        """The height at which the last two of a group are joined (their cophenetic distance); 0 for a class alone."""
        leaves = [self.classes.index(name) for name in group]
        return float(self._cophenetic[np.ix_(leaves, leaves)].max())

    @functools.cached_property
    def _cophenetic(self) -> Floats:
        """(n, n) the heights at which two leaves come together."""
        return np.asarray(squareform(cophenet(self.merges)), np.float64)

    def silhouette(self, count: int) -> float:
        """The mean silhouette of `count` groups (2 to n - 1), -1 to 1: P. Rousseeuw, J. Comp. Appl. Math. 20 (1987)."""
        numbers = {name: number for number, group in enumerate(self.groups(count)) for name in group}
        labels = [numbers[name] for name in self.classes]
        return float(silhouette_score(self.distances, labels, metric="precomputed"))


def tree_of_distances(classes: Sequence[str], distances: NDArray[np.float64]) -> Tree:
    """The tree by average linkage over symmetric distances (n, n), n >= 2."""
    order = _by_name(classes)
    sorted_distances = distances[np.ix_(order, order)]
    merges = linkage(squareform(sorted_distances, checks=False), "average")
    return Tree(tuple(classes[index] for index in order), merges, sorted_distances, "average")


def tree_of_vectors(classes: Sequence[str], vectors: NDArray[np.float64]) -> Tree:
    """The tree by Ward's linkage over vectors (n, D), n >= 2."""
    order = _by_name(classes)
    between = pdist(vectors[order])
    return Tree(
        tuple(classes[index] for index in order), linkage(between, "ward"), np.asarray(squareform(between)), "ward"
    )


def stable_count(tree: Tree) -> int:
    """How many groups, 2 to half of the n classes, last longest: the widest gap between two joins.

    The lifetime criterion of A. Fred, A. Jain, IEEE PAMI 27 (2005), 835-850, section 3.3. For distances that are
    logarithms of confusions a gap of x says that classes of a group are e^x times as readily confused as groups are.
    Of equal gaps the one with the fewest groups is taken. Where it can be, two groups have two classes or more: one
    class against all others is no concept. The silhouette is not the measure, since it is 0 by definition for a class
    alone, and so prefers few groups where some classes are like no other.
    """
    counts = range(2, max(2, len(tree.classes) // 2) + 1)
    grouping = [count for count in counts if sum(len(group) > 1 for group in tree.groups(count)) > 1]
    return max(grouping or counts, key=lambda count: (tree.span(count)[1] - tree.span(count)[0], -count))


def _by_name(classes: Sequence[str]) -> list[int]:
    return sorted(range(len(classes)), key=lambda index: classes[index])
