"""Runs composed of drawn validations, for tests that compare them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hkd_edge.evaluate.result import Validation, write_validation
from tests.validations import drawn_validation

Compose = Callable[..., Path]


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    """Makes the run directory of a drawn validation whose fields are replaced by `changes`."""

    def make(name: str, seed: int = 0, errors: float = 0.1, recipe: str = "", **changes: Any) -> Path:
        run = tmp_path / name
        (run / "stages").mkdir(parents=True)
        validation, arrays = drawn_validation(seed, errors)
        write_validation(run, replace(validation, **changes), arrays)
        (run / "recipe.yaml").write_text(f"version: 1\nseed: {seed}\n{recipe}")
        for stage, seconds in (("distill", 20.5 + seed), ("teach", 10.0)):
            stamp = {"key": "k", "outputs": {}, "seconds": seconds}
            (run / "stages" / f"{stage}.json").write_text(json.dumps(stamp))
        return run

    return make


@pytest.fixture
def drawn() -> Validation:
    """What `compose` writes, for changes to parts of it."""
    return drawn_validation()[0]
