"""Folders of drawn pictures, and a cache of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.drawn import write_pictures


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of decoded images; tests never see the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight pictures of each of four classes in two kinds, as `kind/class/NNNN.jpg`."""
    return write_pictures(tmp_path / "photos", 8)
