"""Pseudo-subclasses: clusters of a concept teacher's embeddings inside each concept, and how images belong to them.

A teacher of few concepts says little by its logits and more by its embedding. After R. Müller et al., arXiv 2002.03936,
whose teacher learns its subclasses, and N. Loo et al., arXiv 2409.20449, who find them in a trained teacher's
embeddings. Departures: they are found by k-means where the latter split linear projections, and inside concepts.
"""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hkd_edge.errors import TrainingError
from hkd_edge_runtime.files import write_atomically

_MOST_IMAGES = 10_000  # of a concept, drawn by the seed: more move the centres by less than they cost in time
_STARTS = 4


@dataclass(frozen=True, eq=False)
class Subclasses:
    """Per axis the centres (K_a * S, E) of unit length, the S of one concept side by side."""

    centres: tuple[Tensor, ...]
    per_concept: int

    @property
    def count(self) -> int:
        """How many there are on all axes together."""
        return sum(map(len, self.centres))

    def assignments(
        self, concept_logits: Sequence[Tensor], embeddings: Tensor, concept_temperature: float, temperature: float
    ) -> list[Tensor]:
        """Per axis the probabilities (N, K_a * S): a concept's, softmax(t_a / concept_temperature), shared among its
        subclasses by softmax(cos(g, centre) / temperature). The S of a concept sum up to the concept's.

        Per axis the teacher's logits t_a (N, K_a), and its embeddings g (N, E).
        """
        rows = F.normalize(embeddings, dim=1)
        shares = []
        for logits, centres in zip(concept_logits, self.centres, strict=True):
            cosines = torch.unflatten(rows @ centres.T, 1, (-1, self.per_concept))
            concepts = F.softmax(logits / concept_temperature, dim=1)
            shares.append((concepts[:, :, None] * F.softmax(cosines / temperature, dim=2)).flatten(1))
        return shares

    def split(self, logits: Tensor) -> list[Tensor]:
        """Logits (N, count) of all axes side by side as one (N, K_a * S) per axis."""
        return list(torch.split(logits, [len(centres) for centres in self.centres], dim=1))


def cached_subclasses(
    embeddings: Tensor, concepts: Tensor, sizes: Sequence[int], per_concept: int, seed: int, folder: Path
) -> Subclasses:
    """`find_subclasses`, read from `folder` where they have been found before, on the device of `embeddings`.

    `folder` must be named by a digest of all that `embeddings` (N, E) depend on.
    """
    labels = concepts.cpu().numpy()
    told = hashlib.sha256(labels.tobytes() + repr((list(sizes), per_concept, seed)).encode()).hexdigest()
    path = folder / f"subclasses_{told[:16]}.npz"
    centres = _read(path, len(sizes))
    if centres is None:
        centres = find_subclasses(embeddings.cpu().numpy(), labels, sizes, per_concept, seed)
        folder.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as temporary, temporary.open("wb") as file:
            np.savez(file, *centres)
    return Subclasses(tuple(torch.from_numpy(each).to(embeddings.device) for each in centres), per_concept)


def find_subclasses(
    embeddings: NDArray[np.float32], concepts: NDArray[np.int64], sizes: Sequence[int], per_concept: int, seed: int
) -> list[NDArray[np.float32]]:
    """Per axis the centres (K_a * per_concept, E) of k-means inside each concept, of embeddings (N, E) as directions.

    `concepts` (N, axes) are the images' concepts, -1 where an axis is silent; `sizes` are the K_a. The same numbers
    for the same seed, however many threads there are.

    Raises:
        TrainingError: if a concept has fewer images than `per_concept`.
    """
    from threadpoolctl import threadpool_limits

    rows = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    found = []
    with threadpool_limits(1):  # sums of several threads are added in the order in which these end
        for axis, size in enumerate(sizes):
            groups = [rows[concepts[:, axis] == concept] for concept in range(size)]
            fewest = min(map(len, groups))
            if fewest < per_concept:
                raise TrainingError(
                    f"expected at least {per_concept} training images of each concept to find its subclasses in, got "
                    f"{fewest}. Lower distill.subclass.per_concept."
                )
            found.append(np.concatenate([_centres(group, per_concept, seed) for group in groups]))
    return found


def _centres(rows: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """The directions (count, E) of the centres of k-means in `rows` (N, E)."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if len(rows) > _MOST_IMAGES:
        rows = rows[np.random.default_rng(seed).permutation(len(rows))[:_MOST_IMAGES]]
    with warnings.catch_warnings():
        # Fewer distinct embeddings than subclasses: two centres are then the same, and share what they get.
        warnings.simplefilter("ignore", ConvergenceWarning)
        centres = KMeans(count, n_init=_STARTS, random_state=seed).fit(rows).cluster_centers_
    unit = centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    return np.asarray(unit, dtype=np.float32)


def _read(path: Path, axes: int) -> list[NDArray[np.float32]] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return [stored[f"arr_{axis}"] for axis in range(axes)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
