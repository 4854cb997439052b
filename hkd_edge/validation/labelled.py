"""What a run and a bundle have in common: the artefacts that were asked for, and images from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hkd_edge.data.dataset import ImageSet
from hkd_edge.errors import RunDirectoryError
from hkd_edge.evaluate.artefacts import Artefact
from hkd_edge_runtime.labelled import find_labelled
from hkd_edge_runtime.manifest import InputSpec

_BATCH_SIZE = 64


def choose_targets(artefacts: Sequence[Artefact], targets: Sequence[str]) -> list[Artefact]:
    """The artefacts for `targets`, all of them if none is named.

    Raises:
        RunDirectoryError: if there is none for a target.
    """
    there = dict.fromkeys(artefact.target for artefact in artefacts)
    lacking = [target for target in targets if target not in there]
    if lacking or not artefacts:
        raise RunDirectoryError(
            f"expected artefacts for {', '.join(lacking) or 'a target'}, got some for {', '.join(there) or 'none'}. "
            "Make them: hkd-edge export RUN --target NAME"
        )
    return [artefact for artefact in artefacts if artefact.target in (targets or there)]


def read_labelled(folder: Path, spec: InputSpec, classes: tuple[str, ...]) -> tuple[ImageSet, str]:
    """All images of `folder`, a subfolder for each class, fitted as the board fits them; and what they are, in words.

    Raises:
        InputError: if it is no such folder, or a file is no image.
    """
    found = find_labelled(folder, classes)
    parts = list(found.batches(spec, _BATCH_SIZE))
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return ImageSet(images, labels), f"{len(labels):,} images of the folder {folder.name}"
