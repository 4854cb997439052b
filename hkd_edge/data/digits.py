"""scikit-learn's bundled digits: 1,797 grey images of 8 x 8 (Alpaydin and Kaynak, UCI). For tests and first tries."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from hkd_edge.data.dataset import Dataset, ImageSet, stratified_split
from hkd_edge.errors import DataError

CLASSES = tuple("0123456789")
_TEST_FRACTION = 0.25
_TEST_SEED = 0  # the package ships one set; this cut is ours and never changes
_LEVELS = 16  # pixel values are 0 to 16


def load(root: Path | None, *, download: bool) -> Dataset:
    """All 1,797 digits, a quarter of each class held out as test images. `download` is not needed.

    Raises:
        DataError: if a folder is given: the images come with the package.
    """
    if root is not None:
        raise DataError(f"recipe.data.root: digits come with scikit-learn, expected null, got {root}.")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / _LEVELS)).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int64)
    cut = stratified_split(labels, _TEST_FRACTION, _TEST_SEED)
    everything = ImageSet(images, labels)
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Dataset(
        "digits",
        CLASSES,
        everything.take(cut.train),
        everything.take(cut.validation),
        "scikit-learn's bundled digits",
        digest,
    )
