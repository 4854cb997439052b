"""Teacher answers are computed once, kept whole or not at all, and read alike from memory and from their files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hkd_edge.data.dataset import Split
from hkd_edge.data.digits import load
from hkd_edge.data.resident import ResidentData
from hkd_edge.distill import cache
from hkd_edge.distill.cache import MappedRows, TeacherAnswers, teacher_answers
from hkd_edge.errors import TrainingError
from hkd_edge.models.build import build
from hkd_edge.models.network import Network
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.recipe.schema import Augment

IMAGES, VIEWS = 700, 2  # more than are answered at once


@pytest.fixture(scope="module")
def data() -> ResidentData:
    dataset = load(None, download=False)
    order = torch.arange(len(dataset.train)).numpy()
    split = Split(order[:IMAGES], order[IMAGES:])
    return ResidentData(dataset, split, Augment(shift_px=1), 0, torch.device("cpu"))


@pytest.fixture
def teacher() -> Network:
    torch.manual_seed(0)
    return build(Architecture(stem_width=4, widths=(8,), blocks=(0,)), 1, 10).eval()


def answers(teacher: Network, data: ResidentData, folder: Path) -> TeacherAnswers:
    return teacher_answers(teacher, data, VIEWS, folder, "fp32", lambda done, views: None)


def test_answers_are_those_of_the_teacher_to_each_view(teacher: Network, data: ResidentData, tmp_path: Path) -> None:
    kept, indices = answers(teacher, data, tmp_path), torch.tensor([650, 3, 3])
    with torch.inference_mode():
        for view in range(VIEWS):
            embedding = teacher.embed(data.view_batch(view, indices))
            torch.testing.assert_close(kept.logits(view, indices), teacher.head(embedding), atol=1e-4, rtol=0)
            torch.testing.assert_close(kept.embeddings(view, indices), embedding, atol=1e-2, rtol=1e-3)
    assert not torch.equal(kept.logits(0, indices), kept.logits(1, indices))


def test_answers_that_are_there_are_not_computed_again(teacher: Network, data: ResidentData, tmp_path: Path) -> None:
    first, indices = answers(teacher, data, tmp_path), torch.arange(IMAGES)
    with torch.no_grad():
        teacher.head.weight.zero_()
    assert torch.equal(answers(teacher, data, tmp_path).logits(1, indices), first.logits(1, indices))


@pytest.mark.parametrize("suffix", ["logits", "embeddings"])
def test_a_view_with_a_damaged_file_is_answered_again(
    teacher: Network, data: ResidentData, tmp_path: Path, suffix: str
) -> None:
    first, indices = answers(teacher, data, tmp_path), torch.arange(IMAGES)
    file = tmp_path / f"view_001.{suffix}.npy"
    file.write_bytes(file.read_bytes()[:-1])
    assert torch.equal(answers(teacher, data, tmp_path).logits(1, indices), first.logits(1, indices))
    assert len(list(tmp_path.iterdir())) == 2 * VIEWS


def test_answers_beyond_memory_are_read_from_their_files(
    teacher: Network, data: ResidentData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory, indices = answers(teacher, data, tmp_path), torch.tensor([699, 0, 12])
    monkeypatch.setattr(cache, "free_memory_bytes", lambda: 1000)
    mapped = answers(teacher, data, tmp_path)
    assert isinstance(mapped._logits, MappedRows)
    assert isinstance(in_memory._logits, torch.Tensor)
    assert mapped.embedding_size == in_memory.embedding_size
    for view in range(VIEWS):
        assert torch.equal(mapped.logits(view, indices), in_memory.logits(view, indices))
        assert torch.equal(mapped.embeddings(view, indices), in_memory.embeddings(view, indices))


def test_answers_that_are_not_finite_are_refused_and_not_kept(
    teacher: Network, data: ResidentData, tmp_path: Path
) -> None:
    with torch.no_grad():
        teacher.head.bias[3] = float("nan")
    with pytest.raises(TrainingError, match="expected finite answers of the teacher, got NaN or infinity"):
        answers(teacher, data, tmp_path)
    assert list(tmp_path.iterdir()) == []
