from __future__ import annotations

from pathlib import Path

import pytest

from hkd_edge_runtime.cache import CacheWarning, cache_folder, is_empty, key_of, recall, remember


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hkd-edge"


def test_what_is_remembered_is_recalled(folder: Path) -> None:
    remember("golden", "key", {"checked": ["a", 1.5]})
    assert recall("golden", "key") == {"checked": ["a", 1.5]}
    assert [path.name for path in (folder / "golden").iterdir()] == ["key.json"]


def test_kinds_and_keys_are_kept_apart() -> None:
    remember("golden", "key", {"a": 1})
    assert recall("golden", "other") is None
    assert recall("calibration", "key") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_damaged_entry_is_none(folder: Path, content: bytes) -> None:
    remember("golden", "key", {"a": 1})
    (folder / "golden" / "key.json").write_bytes(content)
    assert recall("golden", "key") is None


def test_a_folder_that_cannot_be_made_is_a_warning(folder: Path) -> None:
    folder.write_text("a file lies where the folder should be")
    with pytest.warns(CacheWarning, match="expected a cache folder that can be written, .*XDG_CACHE_HOME"):
        remember("golden", "key", {"a": 1})
    assert recall("golden", "key") is None


def test_a_folder_that_cannot_be_made_is_warned_of_once_in_the_callers_name(folder: Path) -> None:
    folder.write_text("a file lies where the folder should be")
    with pytest.warns(CacheWarning) as caught:
        remember("golden", "key", {"a": 1})
    remember("golden", "key", {"a": 1})  # a second warning would be an error
    assert [each.filename for each in caught] == [__file__]


def test_a_kind_is_empty_until_something_is_remembered() -> None:
    assert is_empty("golden")
    remember("golden", "key", {"a": 1})
    assert (is_empty("golden"), is_empty("calibration")) == (False, True)


def test_a_key_hangs_on_the_facts_and_not_on_their_order() -> None:
    assert key_of({"a": 1, "b": "x"}) == key_of({"b": "x", "a": 1})
    assert key_of({"a": 1, "b": "x"}) != key_of({"a": 1, "b": "y"})


def test_a_user_without_a_home_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.warns(CacheWarning, match="Could not determine home"):
        remember("golden", "key", {})
    assert recall("golden", "key") is None
    assert is_empty("golden")


@pytest.mark.parametrize("named", ["", "relative/path"])
def test_without_an_absolute_path_the_cache_lies_in_the_home(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert cache_folder() == Path.home() / ".cache" / "hkd-edge"


def test_windows_has_a_place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "hkd-edge"
