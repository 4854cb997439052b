from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import debian
from tests.debian import PrivateApt, UnavailableError, made_once, run, unpack


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    for expected_new in (True, False):
        with made_once(tmp_path / "cache" / "1") as new:
            assert (new is not None) is expected_new
            if new is not None:
                (new / "file").write_text("content")
    assert (tmp_path / "cache" / "1" / "file").read_text() == "content"


def test_a_folder_whose_making_failed_is_not_there_and_is_made_anew(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError), made_once(tmp_path / "1"):
        raise UnavailableError("no network")
    assert not (tmp_path / "1").exists()
    with made_once(tmp_path / "1") as new:
        assert new is not None
        assert not list(new.iterdir())


def test_a_former_version_is_removed(tmp_path: Path) -> None:
    for version in ("1", "2"):
        with made_once(tmp_path / version):
            pass
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["2"]


def test_a_command_that_fails_says_its_last_words() -> None:
    with pytest.raises(UnavailableError, match="sh failed with 3: gone"):
        run(["sh", "-c", "echo gone >&2; exit 3"])


def test_a_command_that_is_missing_is_named() -> None:
    with pytest.raises(UnavailableError, match="there is no no-such-program on this machine"):
        run(["no-such-program"])


def test_sources_of_another_release_differ_in_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "etc" / "sources.list.d"
    sources.mkdir(parents=True)
    (sources / "debian.sources").write_text("Suites: bookworm bookworm-updates\nComponents: main\n")
    (sources / "other.list").write_text("deb mirror sdk-bookworm main\n")
    (sources / "old.list.disabled").write_text("deb mirror bookworm main\n")
    (tmp_path / "apt" / "sources").mkdir(parents=True)
    monkeypatch.setattr(debian, "_SOURCES", tmp_path / "etc")
    monkeypatch.setattr(debian, "_own_release", lambda: "bookworm")
    PrivateApt(tmp_path / "apt", release="trixie")._write_sources("trixie")
    written = {path.name: path.read_text() for path in (tmp_path / "apt" / "sources").iterdir()}
    assert written == {
        "debian.sources": "Suites: trixie trixie-updates\nComponents: main\n",
        "other.list": "deb mirror sdk-bookworm main\n",
    }


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg-deb on this machine")
def test_a_package_is_unpacked_whole_or_in_part(tmp_path: Path) -> None:
    for name in ("usr/bin/tool", "usr/share/doc"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(name)
    (tmp_path / "tree" / "DEBIAN").mkdir()
    control = (
        "Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: a tool\n"
    )
    (tmp_path / "tree" / "DEBIAN" / "control").write_text(control)
    run(["dpkg-deb", "--build", "--root-owner-group", str(tmp_path / "tree"), str(tmp_path / "tool.deb")])
    unpack([tmp_path / "tool.deb"], tmp_path / "whole")
    unpack([tmp_path / "tool.deb"], tmp_path / "part", "./usr/bin/*")
    assert (tmp_path / "whole" / "usr" / "share" / "doc").read_text() == "usr/share/doc"
    assert [path.name for path in (tmp_path / "part" / "usr").iterdir()] == ["bin"]
