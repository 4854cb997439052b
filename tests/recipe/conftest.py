"""A small whole recipe, and what a changed one is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hkd_edge.errors import RecipeError
from hkd_edge.recipe import load_recipe

SMALL = """\
version: 1
name: small
data: {dataset: digits}
student:
  architecture: {stem_width: 8, widths: [16, 32], blocks: [1, 0]}
distill:
  training: {epochs: 2}
  temperature: 4.0
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes], str]:
    """Writes a recipe into the current folder, which is an empty one, and gives its path back."""
    monkeypatch.chdir(tmp_path)

    def _write(text: str | bytes) -> str:
        content = text.encode("utf-8") if isinstance(text, str) else text
        (tmp_path / "x.yaml").write_bytes(content)
        return "x.yaml"

    return _write


@pytest.fixture
def small(write: Callable[[str | bytes], str]) -> str:
    """The path of a small whole recipe."""
    return write(SMALL)


@pytest.fixture
def complaint(write: Callable[[str | bytes], str]) -> Callable[..., str]:
    """What the small recipe is told after texts in it were replaced, or overrides were given."""

    def _complaint(*changes: tuple[str, str], overrides: tuple[str, ...] = ()) -> str:
        text = SMALL
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        with pytest.raises(RecipeError) as caught:
            load_recipe(write(text), overrides)
        return str(caught.value)

    return _complaint
