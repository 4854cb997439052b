"""The command, and a cache of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from hkd_edge.cli import cli

ImportImages: TypeAlias = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def import_images(tmp_path: Path) -> ImportImages:
    """`hkd-edge data import SOURCE -o photos` with further arguments, in-process; errors are in the result."""

    def call(source: Path, *arguments: str | Path) -> Result:
        words = [str(word) for word in ("data", "import", source, "-o", tmp_path / "photos", *arguments)]
        return CliRunner().invoke(cli, words)

    return call
