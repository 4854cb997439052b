"""Pictures that are in a data set more than once: exactly, or saved again in another size, quality or format.

Both are judged by the fitted pixels, since what the network cannot tell apart is what would leak from one side of a
split to the other. Mirrored, turned or cropped copies are not looked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hkd_edge.data.stored import Pixels

_HASH_SIDE = 32  # pixels that the hash is taken from, and the 8 x 8 lowest frequencies of them
_FREQUENCIES = 8
_THUMBNAIL_SIDE = 16
# On 120 crops of scikit-learn's two photographs, each saved again (JPEG at 90, 50 and 25, half and double size), 90 of
# 100 copies differed in at most 4 bits, and all by at most 10 levels of a thumbnail; no two different crops differed in
# fewer than 8 bits. A new object of a twelfth of the side changed 37 levels (median): scenes of one camera stay apart.
MAX_BITS = 10
MAX_LEVELS = 10
_ROWS_AT_ONCE = 1024
_PRODUCTS_AT_ONCE = 2**25

Pairs = NDArray[np.int64]


def exact_pairs(digests: Sequence[str]) -> Pairs:
    """Pairs (P, 2) that link images of equal digest into chains: the first of them with each other one."""
    first: dict[str, int] = {}
    linked = [(first.setdefault(digest, index), index) for index, digest in enumerate(digests)]
    return _as_pairs([(one, other) for one, other in linked if one != other])


def near_pairs(images: Pixels, digests: Sequence[str]) -> Pairs:
    """Pairs (P, 2) of images uint8 (N, H, W, C) that look the same but are not; of equal ones the first stands for all.

    Two do if their perceptual hashes differ in at most `MAX_BITS` of 63 bits, and no pixel of their thumbnails by more
    than `MAX_LEVELS` of 255. The hash has the signs of the lowest frequencies of the grey image's cosine transform
    against their median: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010), its
    DCT-based hash, without the constant term. Flat textures share hashes no more often than others do, and
    thumbnails tell apart what low frequencies do not; either alone takes too much for the same.
    """
    first = np.unique(np.asarray(digests), return_index=True)[1]
    unique = np.sort(first)
    if len(unique) < 2:
        return _as_pairs([])
    signs = _hashes(images, unique)
    thumbnails = np.stack([_resized(images[index], _THUMBNAIL_SIDE) for index in unique])
    pairs = []
    rows_at_once = max(1, min(_ROWS_AT_ONCE, _PRODUCTS_AT_ONCE // len(unique)))
    for start in range(0, len(unique), rows_at_once):
        # Products of +1 and -1: 63 less twice the bits that differ, exact in float32, and fast as matrices are.
        alike = signs[start : start + rows_at_once] @ signs[start:].T >= signs.shape[1] - 2 * MAX_BITS
        one, other = (found + start for found in np.nonzero(np.triu(alike, 1)))
        same = [np.abs(thumbnails[a] - thumbnails[b]).max() <= MAX_LEVELS for a, b in zip(one, other, strict=True)]
        pairs.append(np.stack([unique[one[same]], unique[other[same]]], axis=1))
    return np.concatenate(pairs).astype(np.int64)


def components(count: int, *pairs: Pairs) -> NDArray[np.int64]:
    """The number (N,) of the group that each of `count` images is in: those that `pairs` link, directly or not."""
    linked = np.concatenate([_as_pairs([]), *pairs])
    graph = coo_array((np.ones(len(linked), np.int8), (linked[:, 0], linked[:, 1])), shape=(count, count))
    numbers: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return numbers


def members_of(groups: NDArray[np.int64]) -> list[list[int]]:
    """The indices of the images of each group of two or more."""
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups.tolist()):
        members[group].append(index)
    return [found for found in members.values() if len(found) > 1]


def _hashes(images: Pixels, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """+1 and -1 (M, 63) for each image at `indices`."""
    starts = range(0, len(indices), _ROWS_AT_ONCE)
    return np.concatenate([_some_hashes(images, indices[start : start + _ROWS_AT_ONCE]) for start in starts])


def _some_hashes(images: Pixels, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    grey = np.stack([_resized(_grey(images[index]), _HASH_SIDE) for index in indices])
    spectrum = dctn(grey.astype(np.float32), axes=(1, 2), norm="ortho")[:, :_FREQUENCIES, :_FREQUENCIES]
    lowest = spectrum.reshape(len(indices), -1)[:, 1:]
    signs: NDArray[np.float32] = np.where(lowest > np.median(lowest, axis=1, keepdims=True), 1, -1).astype(np.float32)
    return signs


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).convert("L")) if image.shape[2] == 3 else image[..., 0]


def _resized(image: NDArray[np.uint8], side: int) -> NDArray[np.int16]:
    flat = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    return np.asarray(Image.fromarray(flat).resize((side, side), Image.Resampling.BILINEAR)).astype(np.int16)


def _as_pairs(pairs: Sequence[tuple[int, int]]) -> Pairs:
    return np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
