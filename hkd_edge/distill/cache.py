"""Teacher answers on disk: computed once per view of the training images, named by the content of their inputs.

A view takes 4 bytes for each logit and 2 for each number of an embedding; the files of one teacher are all that is kept
of it. They are read into memory, or, if they are more than half of what is free, mapped and read batch by batch.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hkd_edge.data.memory import free_memory_bytes
from hkd_edge.data.resident import ResidentData, answered_at_once
from hkd_edge.errors import TrainingError
from hkd_edge.models.network import Answering
from hkd_edge.train.device import autocast
from hkd_edge.train.team import ALONE, Team
from hkd_edge_runtime.files import write_atomically

_ROWS_OF_A_HEAD = 500  # embeddings that a head answers at a time


class MappedRows:
    """Rows (V, N, K) of V files (N, K) that stay there: like a tensor, to be read at [view, indices (B,)]."""

    def __init__(self, views: Sequence[NDArray[Any]], device: torch.device) -> None:
        self._views = views
        self._device = device
        self.shape = (len(views), *views[0].shape)

    def __getitem__(self, place: tuple[int, Tensor]) -> Tensor:
        view, indices = place
        rows: NDArray[Any] = self._views[view][indices.cpu().numpy()]
        return torch.from_numpy(rows).to(self._device)


class TeacherAnswers:
    """Logits (V, N, K) and embeddings (V, N, E) of one teacher for V views of N training images, for one device.

    `silent_axes` are the places of the axes of which its logits say nothing.
    """

    def __init__(
        self, logits: Tensor | MappedRows, embeddings: Tensor | MappedRows, silent_axes: tuple[int, ...] = ()
    ) -> None:
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
        views, count = self._embeddings.shape[:2]
        parts = torch.split(torch.arange(count, device=head.weight.device), _ROWS_OF_A_HEAD)
        logits = [torch.cat([head(self.embeddings(view, part)) for part in parts]) for view in range(views)]
        return TeacherAnswers(torch.stack(logits), self._embeddings)


def discard_others(folder: Path, name: str) -> None:
    """Removes what the answers in `folder` take the place of: those of the same `name`, made of other inputs."""
    for stale in folder.parent.glob(f"{name}-*"):
        if stale != folder:
            shutil.rmtree(stale)


def teacher_answers(
    teacher: Answering,
    data: ResidentData,
    views: int,
    folder: Path,
    precision: str,
    on_view: Callable[[int, int], None],
    silent_axes: tuple[int, ...] = (),
    team: Team = ALONE,
) -> TeacherAnswers:
    """The answers of `teacher` to the first `views` views of the training images.

    `folder` must be named by a digest of all that the answers depend on; views that are already there are read. Each
    file is written whole or not at all, so that a kill costs one view at most. `on_view(done, views)` reports. The
    processes of `team` answer a part of each batch; the first of them writes.

    Raises:
        TrainingError: if an answer is not finite.
    """
    if team.first:
        folder.mkdir(parents=True, exist_ok=True)
    files = [_View(folder, number) for number in range(views)]
    for file in files:
        if not team.from_first(functools.partial(file.is_whole, len(data.train))):
            _answer(teacher, data, file, precision, team)
        on_view(file.number + 1, views)
    team.from_first(lambda: None)  # the last file is there
    read = [answers for file in files if (answers := file.read(len(data.train))) is not None]
    if len(read) < views:
        raise TrainingError(f"{folder}: expected the files that the first process writes. All machines must share it.")
    logits, embeddings = zip(*read, strict=True)
    return TeacherAnswers(_rows(logits, data.device), _rows(embeddings, data.device), silent_axes)


def _rows(views: Sequence[NDArray[Any]], device: torch.device) -> Tensor | MappedRows:
    if sum(view.nbytes for view in views) > free_memory_bytes() // 2:
        return MappedRows(views, device)
    return torch.from_numpy(np.stack(views)).to(device)


@dataclass(frozen=True)
class _View:
    """The two files of a view."""

    folder: Path
    number: int

    @property
    def logits(self) -> Path:
        """Float32 (N, K), as .npy."""
        return self.folder / f"view_{self.number:03d}.logits.npy"

    @property
    def embeddings(self) -> Path:
        """Float16 (N, E), as .npy: it halves the memory; embeddings enter the losses by their direction alone."""
        return self.folder / f"view_{self.number:03d}.embeddings.npy"

    def is_whole(self, count: int) -> bool:
        """Whether `read` finds both."""
        return self.read(count) is not None

    def read(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float16]] | None:
        """Both, mapped into memory; None unless both are whole and of `count` images."""
        try:
            logits, embeddings = (np.load(path, mmap_mode="r") for path in (self.logits, self.embeddings))
        except (OSError, ValueError, EOFError):
            return None
        return (logits, embeddings) if len(logits) == len(embeddings) == count else None

    def begun(self, count: int, outputs: int, embedding_size: int) -> Iterator[AbstractContextManager[IO[bytes]]]:
        """Both, to be filled row by row; each is there when all of it is written."""
        for path, width, kind in ((self.logits, outputs, "<f4"), (self.embeddings, embedding_size, "<f2")):
            yield _begun(path, {"descr": kind, "fortran_order": False, "shape": (count, width)})


@contextmanager
def _begun(path: Path, header: dict[str, Any]) -> Iterator[IO[bytes]]:
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        yield file


def _answer(teacher: Answering, data: ResidentData, file: _View, precision: str, team: Team) -> None:
    """Writes what the teacher answers to a view, a batch at a time."""
    with ExitStack() as stack:
        parts: list[Any] = []
        for batch in _batches(teacher, data, file.number, precision, team):
            if not team.first:
                continue
            if not all(torch.isfinite(values).all() for values in batch):
                raise TrainingError("expected finite answers of the teacher, got NaN or infinity. Train it again.")
            if not parts:
                widths = [values.shape[1] for values in batch]
                parts = [stack.enter_context(each) for each in file.begun(len(data.train), *widths)]
            for part, values in zip(parts, batch, strict=True):
                part.write(values.numpy().tobytes())


@torch.inference_mode()
def _batches(
    teacher: Answering, data: ResidentData, view: int, precision: str, team: Team
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits float32 (B, K) and embeddings float16 (B, E) of all training images, in their order."""
    teacher.eval()

    def both(indices: Tensor) -> Tensor:
        with autocast(data.device, precision):
            return torch.cat([each.float() for each in teacher.answer(data.view_batch(view, indices))], dim=1)

    everything = torch.arange(len(data.train), device=data.device)
    for indices in torch.split(everything, answered_at_once(data.train.images)):
        answered = team.answers(both, indices).cpu()
        outputs = answered.shape[1] - teacher.embedding_size
        yield answered[:, :outputs].contiguous(), answered[:, outputs:].half()
