"""How much of the class a hierarchy gives away.

Several axes together can spell out the class, as an error-correcting code does. A teacher that saw such
"concept" labels has seen the classes in disguise, so every result is reported with these measures.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hkd_edge_runtime.hierarchy import Hierarchy

_PRIOR_TOLERANCE = 1e-6  # how far from 1 a prior may sum: float32 frequencies of a thousand classes do


@dataclass(frozen=True)
class AxisMeasures:
    """What one axis alone gives away. `entropy_bits` is H(class | concept of this axis)."""

    name: str
    concept_count: int
    silent_classes: tuple[str, ...]
    entropy_bits: float


@dataclass(frozen=True)
class HierarchyMeasures:
    """What all axes together give away.

    Attributes:
        groups: the classes that share their concepts on every axis with another, by group.
        identified_classes: the others: whoever knows their concepts knows the class.
        entropy_bits: H(class | concepts), from 0 (the concepts spell out the class) to `prior_entropy_bits`.
        prior_entropy_bits: H(class), what there is to know without any concept; log2 C for a uniform prior.
    """

    class_count: int
    groups: tuple[tuple[str, ...], ...]
    identified_classes: tuple[str, ...]
    entropy_bits: float
    prior_entropy_bits: float
    axes: tuple[AxisMeasures, ...]

    @property
    def undistinguished_count(self) -> int:
        """How many classes share their concepts with another."""
        return sum(len(group) for group in self.groups)


def measure(hierarchy: Hierarchy, prior: ArrayLike | None = None) -> HierarchyMeasures:
    """What `hierarchy` gives away when classes come with the probabilities `prior` (C,); None = all alike.

    Silence counts as knowledge: to be told that an axis does not speak of an image tells something about it.

    >>> from hkd_edge_runtime.hierarchy import Axis
    >>> kind = Axis("kind", ("tops", "shoes"), (0, 0, 1))
    >>> found = measure(Hierarchy(("Coat", "Shirt", "Boot"), (kind,)))
    >>> found.groups, found.identified_classes, round(found.entropy_bits, 3)
    ((('Coat', 'Shirt'),), ('Boot',), 0.667)

    Raises:
        ValueError: if `prior` is not C probabilities that sum to 1.
    """
    classes = hierarchy.classes
    probabilities = _probabilities(prior, len(classes))
    signatures = [tuple(axis.class_to_concept[c] for axis in hierarchy.axes) for c in range(len(classes))]
    members: defaultdict[Hashable, list[str]] = defaultdict(list)
    for name, signature in zip(classes, signatures, strict=True):
        members[signature].append(name)
    silent = hierarchy.silent_classes()
    return HierarchyMeasures(
        class_count=len(classes),
        groups=tuple(tuple(group) for group in members.values() if len(group) > 1),
        identified_classes=tuple(group[0] for group in members.values() if len(group) == 1),
        entropy_bits=_conditional_entropy_bits(signatures, probabilities),
        prior_entropy_bits=_conditional_entropy_bits([()] * len(classes), probabilities),
        axes=tuple(
            AxisMeasures(
                axis.name,
                len(axis.concepts),
                silent[axis.name],
                _conditional_entropy_bits(axis.class_to_concept, probabilities),
            )
            for axis in hierarchy.axes
        ),
    )


def _conditional_entropy_bits(signatures: Sequence[Hashable], probabilities: Sequence[float]) -> float:
    """H(class | signature) = sum over classes of p(c) * log2(p(signature) / p(c)); 0 where p(c) is 0.

    Source: T. Cover, J. Thomas, Elements of Information Theory, section 2.2.
    """
    masses: defaultdict[Hashable, float] = defaultdict(float)
    for signature, probability in zip(signatures, probabilities, strict=True):
        masses[signature] += probability
    return math.fsum(
        p * math.log2(masses[signature] / p) for signature, p in zip(signatures, probabilities, strict=True) if p > 0
    )


def _probabilities(prior: ArrayLike | None, count: int) -> list[float]:
    if prior is None:
        return [1 / count] * count
    given = np.asarray(prior, dtype=np.float64)
    if given.shape != (count,) or not np.all(given >= 0) or not abs(given.sum() - 1) <= _PRIOR_TOLERANCE:
        raise ValueError(f"expected {count} probabilities >= 0 that sum to 1 as prior, got {prior!r}")
    return [float(p) for p in given]
