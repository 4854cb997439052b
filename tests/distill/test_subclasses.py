"""Pseudo-subclasses: clusters are found inside concepts, images are assigned to them, and all of it repeats."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hkd_edge.distill import subclasses
from hkd_edge.distill.subclasses import Subclasses, cached_subclasses, find_subclasses
from hkd_edge.errors import TrainingError

# Four directions, two in each of two concepts; the second axis speaks of the first concept's images alone.
DIRECTIONS = np.eye(4, 6, dtype=np.float32)
WHERE = np.repeat(np.arange(4), 25)
NOISE = np.random.default_rng(0).normal(0, 0.05, (100, 6))
EMBEDDINGS = (np.linspace(1, 9, 100)[:, None] * (DIRECTIONS[WHERE] + NOISE)).astype(np.float32)
CONCEPTS = np.stack([WHERE // 2, np.where(WHERE < 2, WHERE, -1)], axis=1)


def test_the_clusters_inside_each_concept_are_found():
    first, second = find_subclasses(EMBEDDINGS, CONCEPTS, (2, 2), 2, seed=0)
    assert (first.shape, second.shape) == ((4, 6), (4, 6))
    cosines = first @ DIRECTIONS.T
    assert sorted(cosines[:2].argmax(axis=1)) == [0, 1]
    assert sorted(cosines[2:].argmax(axis=1)) == [2, 3]
    assert (cosines.max(axis=1) > 0.99).all()


def test_a_concept_with_too_few_images_is_told():
    with pytest.raises(TrainingError, match=r"expected at least 51 .* got 50. Lower distill.subclass.per_concept"):
        find_subclasses(EMBEDDINGS, CONCEPTS, (2, 2), 51, seed=0)


def found() -> Subclasses:
    centres = find_subclasses(EMBEDDINGS, CONCEPTS[:, :1], (2,), 2, seed=0)
    return Subclasses(tuple(map(torch.from_numpy, centres)), 2)


def test_the_shares_of_a_concept_sum_up_to_what_the_teacher_gives_it():
    logits = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    (shares,) = found().assignments([logits], torch.from_numpy(EMBEDDINGS), 2.0, 0.1)
    assert torch.allclose(shares.unflatten(1, (2, 2)).sum(2), torch.softmax(logits / 2, 1), atol=1e-6)


def test_a_low_temperature_assigns_to_the_nearest_and_a_high_one_evenly():
    sure = 50 * torch.nn.functional.one_hot(torch.from_numpy(WHERE // 2), 2).float()
    embeddings = torch.from_numpy(EMBEDDINGS)
    ((hard,), (soft,)) = (found().assignments([sure], embeddings, 1.0, each) for each in (0.01, 100.0))
    assert len(set(zip(WHERE.tolist(), hard.argmax(1).tolist(), strict=True))) == 4
    assert hard.max(1).values.min() > 0.99
    assert torch.allclose(soft.max(1).values, torch.tensor(0.5), atol=0.01)


def test_they_are_found_once_and_then_read(tmp_path, monkeypatch):
    arguments = (torch.from_numpy(EMBEDDINGS), torch.from_numpy(CONCEPTS), (2, 2), 2)
    first = cached_subclasses(*arguments, 0, tmp_path)
    monkeypatch.setattr(subclasses, "find_subclasses", None)
    again = cached_subclasses(*arguments, 0, tmp_path)
    assert all(map(torch.equal, first.centres, again.centres))
    with pytest.raises(TypeError):
        cached_subclasses(*arguments, 1, tmp_path)


def test_what_was_damaged_is_found_again(tmp_path):
    arguments = (torch.from_numpy(EMBEDDINGS), torch.from_numpy(CONCEPTS), (2, 2), 2, 0, tmp_path)
    first = cached_subclasses(*arguments)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert all(map(torch.equal, first.centres, cached_subclasses(*arguments).centres))


def test_more_threads_find_the_same_numbers():
    rows = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    several, one = (_found_with(threads, rows) for threads in (2, 1))
    assert np.array_equal(several, one)


def _found_with(threads: int, rows: np.ndarray) -> np.ndarray:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads):
        return find_subclasses(rows, np.zeros((3000, 1), np.int64), (1,), 8, seed=0)[0]
