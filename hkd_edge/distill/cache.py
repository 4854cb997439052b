"""Teacher answers on disk: computed once per view of the training images, named by the content of their inputs."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hkd_edge.data.resident import ResidentData
from hkd_edge.errors import TrainingError
from hkd_edge.models.network import Answering
from hkd_edge.train.device import autocast
from hkd_edge_runtime.files import write_atomically

_BATCH_SIZE = 500


class TeacherAnswers:
    """Logits (V, N, K) and embeddings (V, N, E) of one teacher for V views of N training images, on one device.

    `silent_axes` are the places of the axes of which its logits say nothing.
    """

    def __init__(self, logits: Tensor, embeddings: Tensor, silent_axes: tuple[int, ...] = ()) -> None:
        self._logits = logits
        self.silent_axes = silent_axes
        self._embeddings = embeddings
        self.embedding_size = embeddings.shape[2]

    def logits(self, view: int, indices: Tensor) -> Tensor:
        """Logits float32 (B, K) of the training images at `indices` (B,) under `view`."""
        return self._logits[view, indices].float()

    def embeddings(self, view: int, indices: Tensor) -> Tensor:
        """Embeddings float32 (B, E) of the training images at `indices` (B,) under `view`."""
        return self._embeddings[view, indices].float()

    @torch.inference_mode()
    def with_head(self, head: nn.Linear) -> TeacherAnswers:
        """The same embeddings with the logits that `head` makes of them."""
        batches = [
            torch.cat([head(part.float()) for part in torch.split(view, _BATCH_SIZE)]) for view in self._embeddings
        ]
        return TeacherAnswers(torch.stack(batches), self._embeddings)


def teacher_answers(
    teacher: Answering,
    data: ResidentData,
    views: int,
    folder: Path,
    precision: str,
    on_view: Callable[[int, int], None],
    silent_axes: tuple[int, ...] = (),
) -> TeacherAnswers:
    """The answers of `teacher` to the first `views` views of the training images.

    `folder` must be named by a digest of all that the answers depend on; views that are already there are read. Each
    file is written whole or not at all, so that a kill costs one view at most. `on_view(done, views)` reports.
    """
    folder.mkdir(parents=True, exist_ok=True)
    logits, embeddings = [], []
    for view in range(views):
        path = folder / f"view_{view:03d}.npz"
        answers = _read(path, len(data.train)) or _answer(teacher, data, view, path, precision)
        logits.append(answers[0])
        embeddings.append(answers[1])
        on_view(view + 1, views)
    return TeacherAnswers(
        torch.from_numpy(np.stack(logits)).to(data.device),
        torch.from_numpy(np.stack(embeddings)).to(data.device),
        silent_axes,
    )


Answers = tuple[NDArray[np.float32], NDArray[np.float16]]


@torch.inference_mode()
def _answer(teacher: Answering, data: ResidentData, view: int, path: Path, precision: str) -> Answers:
    teacher.eval()
    logits, embeddings = [], []
    for indices in torch.split(torch.arange(len(data.train), device=data.device), _BATCH_SIZE):
        with autocast(data.device, precision):
            answer, embedding = teacher.answer(data.view_batch(view, indices))
        logits.append(answer.float().cpu().numpy())
        embeddings.append(embedding.float().cpu().numpy())
    # Half precision halves the memory; embeddings enter the losses by their direction alone.
    answers = np.concatenate(logits), np.concatenate(embeddings).astype(np.float16)
    if not (np.isfinite(answers[0]).all() and np.isfinite(answers[1]).all()):
        raise TrainingError("expected finite answers of the teacher, got NaN or infinity. Train it again.")
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(file, logits=answers[0], embeddings=answers[1])
    return answers


def _read(path: Path, count: int) -> Answers | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            logits, embeddings = stored["logits"], stored["embeddings"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return (logits, embeddings) if len(logits) == len(embeddings) == count else None
