"""How far classes lie from each other: by what is confused, and by where their embeddings lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Added to each confusion before its logarithm: what was never seen to be confused is told apart only so far as some
# hundreds of images of a class can tell, and certain networks do not drive distances to infinity.
_SMOOTHING = 1e-3
_SPENT = 1e-6  # of the longest vector: what projecting leaves of a vector that lay in the removed space


def class_means(values: ArrayLike, labels: ArrayLike, class_count: int) -> Floats:
    """(C, D): the mean of the rows of `values` (N, D) by class, for labels (N,) from 0 to C - 1.

    Of probabilities (N, C) these are soft confusions: row i tells how much of the images of class i is given to each
    class, also where the answer was right in the end. A good network errs on too few images to count.

    >>> class_means([[0.75, 0.25], [0.25, 0.75], [0.0, 1.0]], [0, 0, 1], 2).tolist()
    [[0.5, 0.5], [0.0, 1.0]]

    Raises:
        ValueError: if a class has no row.
    """
    rows, groups = np.asarray(values, np.float64), np.asarray(labels, np.int64)
    counts = np.bincount(groups, minlength=class_count)
    if len(counts) != class_count or not counts.all():
        raise ValueError(f"expected rows of each of {class_count} classes, got {counts.tolist()} of them.")
    means = np.zeros((class_count, rows.shape[1]))
    np.add.at(means, groups, rows)
    means /= counts[:, None]
    return means


def confusion_distances(confusions: ArrayLike) -> Floats:
    """(C, C) distances of classes from confusions (C, C), whose rows are >= 0 and sum to 1.

    d_ij = -ln g_ij, g_ij = sqrt(p_ij p_ji / (p_ii p_jj)): R. Shepard, Toward a universal law of generalization for
    psychological science, Science 237 (1987), 1317-1323. Confusion was found to fall exponentially with distance, so
    the logarithm gives the distance back; g is symmetric, and a class that is hard in itself is not near to all others.
    Departures: p is smoothed, and a pair confused more often than its classes are recognised is at 0, not below.

    >>> confusion_distances([[0.5, 0.5], [0.5, 0.5]]).tolist()
    [[0.0, 0.0], [0.0, 0.0]]

    Raises:
        ValueError: for a matrix that is not square, or whose rows are no probabilities.
    """
    given = np.asarray(confusions, np.float64)
    if given.ndim != 2 or given.shape[0] != given.shape[1]:
        raise ValueError(f"expected confusions (C, C), got the shape {given.shape}.")
    if not np.all(given >= 0) or not np.allclose(given.sum(axis=1), 1, atol=1e-4):
        raise ValueError("expected confusions >= 0 whose rows sum to 1, got others. Divide each row by its sum.")
    logs = np.log((1 - _SMOOTHING) * given + _SMOOTHING / len(given))
    own = np.diag(logs)
    distances = (own[:, None] + own[None, :] - logs - logs.T) / 2
    # Rounding leaves the two halves unlike in the last bit.
    symmetric: Floats = np.maximum((distances + distances.T) / 2, 0)
    np.fill_diagonal(symmetric, 0)
    return symmetric


def without_groups(vectors: ArrayLike, groups: ArrayLike) -> Floats:
    """`vectors` (C, D) less all that tells the groups (C,) apart: projected across the means of the groups.

    Centred first. What is left shows how classes differ *inside* their groups, by which a further, not redundant
    axis is found; nothing (zeros) is left of a class that is a group alone.

    Source: Y. Cui, X. Fern, J. Dy, Non-redundant multi-view clustering via orthogonalization, ICDM 2007, method 2,
    with the space that the means span in the place of its principal components.
    """
    rows, numbers = np.asarray(vectors, np.float64), np.asarray(groups, np.int64)
    centred = rows - rows.mean(axis=0)
    means = np.stack([centred[numbers == number].mean(axis=0) for number in np.unique(numbers)])
    _, lengths, directions = np.linalg.svd(means, full_matrices=False)
    spanned = directions[lengths > _SPENT * max(lengths.max(), np.finfo(float).tiny)]
    left: Floats = centred - centred @ spanned.T @ spanned
    lengths_left, longest = np.linalg.norm(left, axis=1), np.linalg.norm(centred, axis=1).max()
    left[lengths_left <= _SPENT * longest] = 0
    return left
