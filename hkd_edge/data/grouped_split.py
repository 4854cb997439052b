"""A stratified split that keeps groups of images whole: a burst, an object, copies of one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hkd_edge.errors import DataError


def hold_out(
    labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int, classes: Sequence[str], what: str
) -> NDArray[np.int64]:
    """Indices (M,) of about `fraction` of each class in whole groups, at least one group each; sorted, by `seed`.

    Groups are taken in random order while none of their classes gets more than its share; a class that got nothing
    then gives its smallest group. `labels` and `groups` are (N,); `what` names the images held out, for messages.

    Raises:
        DataError: with every class of which no group can be held out while another is kept.
    """
    members = _members(groups)
    counts = np.stack([np.bincount(labels[one], minlength=len(classes)) for one in members])
    total = counts.sum(axis=0)
    share = np.where(total > 0, np.maximum(1, np.rint(total * fraction)), 0).astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(members))
    chosen = np.zeros(len(members), bool)
    held = np.zeros_like(total)
    for group in order:
        if np.all((held + counts[group])[counts[group] > 0] <= share[counts[group] > 0]) and _leaves(
            total, held, counts[group]
        ):
            chosen[group] = True
            held = held + counts[group]
    for label in np.flatnonzero((held == 0) & (total > 0)):
        for group in sorted(order[counts[order, label] > 0], key=lambda group: counts[group].sum()):
            if held[label] == 0 and not chosen[group] and _leaves(total, held, counts[group]):
                chosen[group] = True
                held = held + counts[group]
    if lacking := [classes[int(label)] for label in np.flatnonzero((held == 0) & (total > 0))]:
        raise DataError(_too_few(lacking, what))
    return np.sort(np.concatenate([members[group] for group in np.flatnonzero(chosen)]))


def _members(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, starts)


def _leaves(total: NDArray[np.int64], held: NDArray[np.int64], taken: NDArray[np.int64]) -> bool:
    """Whether an image of each class remains."""
    return bool(np.all((total - held - taken)[taken > 0] > 0))


def _too_few(lacking: Sequence[str], what: str) -> str:
    named = ", ".join(map(repr, lacking[:20])) + (f" and {len(lacking) - 20} more" if len(lacking) > 20 else "")
    return (
        f"expected at least one group of images of every class for {what} and another to train on, got only one of "
        f"{named}. Add images of other objects, leave the class out, or split the images yourself; see "
        "`hkd-edge data check` for what is taken as one group (duplicates, data.group_by; near duplicates only while "
        "data.group_near_duplicates is true)."
    )
