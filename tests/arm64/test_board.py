"""The stand-in itself: what needs no emulator."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement

from tests.arm64.board import CPU_PARTS, Board, cpuinfo, fetch_parts, signal_name
from tests.arm64.conftest import REQUIRE, ROOT, skip_or_fail
from tests.debian import UnavailableError


def board_that(folder: Path, does: str) -> Board:
    launcher = folder / "python"
    launcher.write_text(f"#!/bin/sh\n{does}\n", encoding="ascii")
    launcher.chmod(0o755)
    return Board(launcher, (folder / "site",))


@pytest.mark.parametrize("name", ["ILL", "SEGV"])
def test_a_process_that_is_killed_by_a_crash_fails_the_test(tmp_path: Path, name: str) -> None:
    with pytest.raises(AssertionError, match=f"SIG{name}"):
        board_that(tmp_path, f"kill -{name} $$").python("-c", "")


def test_a_crash_below_a_shell_is_seen_too(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="SIGILL"):
        board_that(tmp_path, "sh -c 'kill -ILL $$'; exit $?").python("-c", "")


@pytest.mark.parametrize("code", [0, 1, 10, 255])
def test_an_exit_code_is_no_crash(tmp_path: Path, code: int) -> None:
    assert board_that(tmp_path, f"exit {code}").python("-c", "").returncode == code
    assert signal_name(code) == f"exit code {code}"


def test_nothing_of_this_process_leaks_into_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/the/host")
    done = board_that(tmp_path, 'echo "$PYTHONPATH:$HKD_EDGE_TEST_PYTHONPATH"').python(first=[Path("/first")])
    assert done.stdout.strip() == f":/first:{tmp_path}/site"


@pytest.mark.parametrize("cpu", list(CPU_PARTS))
def test_a_processor_tells_its_part_once_for_each_core(cpu: str) -> None:
    lines = cpuinfo(cpu, cores=4).splitlines()
    assert lines.count(f"CPU part\t: {CPU_PARTS[cpu]}") == 4
    assert [line for line in lines if line.startswith("processor")] == [f"processor\t: {core}" for core in range(4)]


def test_without_apt_the_parts_are_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UnavailableError, match="there is no apt-get on this machine"):
        fetch_parts("1.23.0")


def test_other_systems_than_linux_have_no_user_emulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(UnavailableError, match="needs Linux, this is Darwin"):
        fetch_parts("1.23.0")


def test_what_is_missing_is_skipped_or_a_failure_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="64-bit ARM: no apt"):
        skip_or_fail("no apt")
    monkeypatch.setenv(REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match="64-bit ARM: no apt"):
        skip_or_fail("no apt")


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.13"])
def test_pip_never_chooses_the_version_of_onnxruntime_that_crashes_on_64_bit_arm(python: str) -> None:
    extras = tomllib.loads((ROOT / "runtime" / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    board = {"platform_machine": "aarch64", "python_version": python}
    fitting = [
        each for each in map(Requirement, extras["onnxruntime"]) if not each.marker or each.marker.evaluate(board)
    ]
    assert fitting
    for requirement in fitting:
        assert not requirement.specifier.contains("1.21.0")
        assert requirement.specifier.contains("1.23.2")
