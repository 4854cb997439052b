"""Studies for tests: a file of a small one, results that are drawn, and what a study is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hkd_edge.errors import RecipeError
from hkd_edge.study.cells import Cell, CellResult, Measures, TeacherFacts
from hkd_edge.study.load import load_study
from hkd_edge.study.schema import Study

SMALL = """\
version: 1
name: small
base: digits
set:
  data: {validation_fraction: 0.8}
  teacher: {training: {epochs: 1, batch_size: 128}}
  distill: {training: {epochs: 1, batch_size: 128}, views: 1}
methods:
  scratch: {}
  hkd_concept: {}
seeds: [0]
label_budgets: [0.1]
baselines: [scratch]
"""


@pytest.fixture
def study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the small study, with texts in it replaced, into the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(*changes: tuple[str, str]) -> Path:
        text = SMALL
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = Path("study.yaml")
        path.write_text(text)
        return path

    return write


@pytest.fixture
def complaint(study_file: Callable[..., Path]) -> Callable[..., str]:
    """What the small study is told after texts in it were replaced."""

    def told(*changes: tuple[str, str]) -> str:
        with pytest.raises(RecipeError) as caught:
            load_study(study_file(*changes))
        return str(caught.value)

    return told


def study(methods: Sequence[str], seeds: int, baselines: Sequence[str], budgets: Sequence[float] = (1.0,)) -> Study:
    """A study of those methods, as analysis needs it."""
    return Study.model_validate(
        {
            "version": 1,
            "name": "drawn",
            "base": "digits",
            "methods": {name: {} for name in methods},
            "seeds": list(range(seeds)),
            "label_budgets": list(budgets),
            "baselines": list(baselines),
        }
    )


def result(
    method: str,
    seed: int,
    test: float,
    validation: float = 90.0,
    *,
    variant: str = "",
    budget: float = 1.0,
    unmet: str = "",
) -> CellResult:
    """The result of a cell with those accuracies: top-1, or of concepts where a class is left out."""
    cell = Cell(method, variant, "base", budget, unmet, seed)
    return CellResult(
        cell,
        "key",
        1000,
        _measures(100, validation),
        _measures(200, test),
        (50.0, validation),
        2.5,
        {"task": TeacherFacts(5000, 7.5, {"top1": 97.0})} if method.startswith("kd") else {},
        {"device": "cpu", "threads": 2},
    )


def drawn(methods: Sequence[str], seeds: int, budgets: Sequence[float] = (1.0,)) -> list[CellResult]:
    """Results of a grid, drawn so that each method is a little better than the one before it."""
    generator = np.random.default_rng(0)
    return [
        result(method, seed, *(90 + place + generator.normal(size=2)), budget=budget)
        for budget in budgets
        for seed in range(seeds)
        for place, method in enumerate(methods)
    ]


def _measures(images: int, accuracy: float) -> Measures:
    worse = dict.fromkeys(("gaussian_noise", "contrast"), (accuracy - 10.0, accuracy - 20.0))
    return Measures(images, accuracy, {"kind": accuracy}, accuracy, 3.0, 1.0, 0.5, accuracy - 15.0, worse)
