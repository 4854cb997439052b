"""What is validated: the artefacts of a run or of a bundle, and the images to judge them by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.dataset import ImageSet
from hkd_edge.data.stored import in_batches
from hkd_edge.evaluate.artefacts import Artefact
from hkd_edge.evaluate.result import Gate
from hkd_edge_runtime.backends import Outputs
from hkd_edge_runtime.confidence import Confidence
from hkd_edge_runtime.hierarchy import Hierarchy


@dataclass(frozen=True)
class Promise:
    """What a bundle's manifest says of an artefact."""

    shipped: bool
    reason: str
    confidence: Confidence | None


@dataclass(frozen=True, eq=False)
class ReferenceAnswers:
    """What artefacts are compared with: answers to the test images, and to the validation images if there are any."""

    title: str
    test: Outputs
    choice: Outputs | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """What is validated.

    Attributes:
        root: the folder below which the files' paths are told.
        images: what `test` is, in words.
        choice: the validation images, by which it is decided what ships; None for a bundle, in which that is done:
            then `promises` has what its manifest says, by artefact, and the gates are judged by `test`.
        reference: None takes the first float artefact for it.
        teachers: arrays of the teachers' answers to the test images, by their names in `answers.npz`.
        findings: gates that were judged before.
    """

    name: str
    kind: Literal["run", "bundle"]
    root: Path
    artefacts: Sequence[Artefact]
    hierarchy: Hierarchy
    test: ImageSet
    images: str
    choice: ImageSet | None = None
    reference: ReferenceAnswers | None = None
    promises: Mapping[Artefact, Promise] = field(default_factory=dict)
    teachers: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    findings: tuple[Gate, ...] = ()
    parameters: int | None = None


def fingerprint(images: ImageSet) -> str:
    """SHA-256 of the images, their shape and their labels."""
    content = hashlib.sha256(repr(images.images.shape).encode())
    for batch in in_batches(images.images):
        content.update(np.ascontiguousarray(batch).data)
    content.update(np.ascontiguousarray(images.labels, np.int64).data)
    return content.hexdigest()
