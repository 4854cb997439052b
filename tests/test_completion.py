"""What the shells are offered: names, runs, bundles; quickly, and without a heavy package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hkd_edge.completion import VARIABLE

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 0.2  # from key to answer, beyond which people type on
PROGRAM = "from hkd_edge.cli import main; main()"


def ask(line: str, folder: Path) -> list[str]:
    """What bash is offered for the last word of `line`, "type,value" each."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line.replace(" ", "\n"), "COMP_CWORD": str(len(words) - 1), VARIABLE: "bash_complete"}
    path = os.pathsep.join(str(ROOT / part) for part in ("", "export", "runtime"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **asked, "PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for run in ("runs/first", "runs/second", "elsewhere"):
        (tmp_path / run / "bundle").mkdir(parents=True)
        (tmp_path / run / "recipe.yaml").touch()
        (tmp_path / run / "bundle" / "manifest.json").touch()
    (tmp_path / "runs" / "no run").mkdir()
    (tmp_path / "my.yaml").touch()
    (tmp_path / "small.hkd").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hkd-edge comp", ["plain,compare", "plain,completion"]),
        ("hkd-edge run di", ["plain,digits"]),
        ("hkd-edge run my", ["plain,my.yaml"]),
        ("hkd-edge run runs/f", ["plain,runs/first"]),
        ("hkd-edge report ", ["plain,elsewhere", "plain,runs/first", "plain,runs/second"]),
        ("hkd-edge compare runs/first runs/s", ["plain,runs/second"]),
        ("hkd-edge predict runs/se", ["plain,runs/second/bundle"]),
        ("hkd-edge bundle verify sm", ["plain,small.hkd"]),
        ("hkd-edge export my.yaml --target open", ["plain,openvino"]),
        ("hkd-edge predict x --precision i", ["plain,int8"]),
        ("hkd-edge study digits_u", ["plain,digits_unmet"]),
        ("hkd-edge run digits --re", ["plain,--resume"]),
    ],
)
def test_names_and_paths_are_completed(line: str, offered: list[str], folder: Path) -> None:
    assert ask(line, folder) == offered


def test_where_nothing_fits_the_shell_completes_files(folder: Path) -> None:
    assert ask("hkd-edge run some/where", folder) == ["file,some/where"]


def test_completion_is_quick(folder: Path) -> None:
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        ask("hkd-edge run runs/", folder)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < LIMIT_S


def test_completion_imports_no_heavy_package(folder: Path) -> None:
    asked = {"COMP_WORDS": "hkd-edge\nexport\n", "COMP_CWORD": "2", VARIABLE: "bash_complete"}
    code = (
        "import sys\nfrom hkd_edge.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'pydantic', 'onnx', 'openvino'} & set(sys.modules), sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "plain,digits" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one_that_it_reads(shell: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "completion", shell]
    script = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"{VARIABLE}={shell}_complete" in script
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} on this machine")
    (tmp_path / "script").write_text(script)
    subprocess.run([program, "-n", tmp_path / "script"], check=True, capture_output=True)


def test_bash_completes_by_the_script(folder: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    (folder / "hkd-edge").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{PROGRAM}" "$@"\n')
    (folder / "hkd-edge").chmod(0o755)
    script = (
        'eval "$(./hkd-edge completion bash)"\n'
        "compopt() { :; }\n"  # bash has it while it completes alone
        'COMP_WORDS=(./hkd-edge run runs/s); COMP_CWORD=2; _hkd_edge_completion ./hkd-edge; echo "${COMPREPLY[@]}"\n'
    )
    path = os.pathsep.join(str(ROOT / part) for part in ("", "export", "runtime"))
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["runs/second"], done.stderr


def test_an_unknown_shell_is_refused_with_those_that_are_known() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "completion", "tcsh"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr
