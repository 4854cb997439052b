"""What holds for all examples."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples"
SOURCES = sorted(FOLDER.rglob("*.py"))
UNITS = sorted(FOLDER.rglob("*.service"))
READMES = sorted(FOLDER.rglob("README.md"))
MAY_IMPORT = {
    *("examples", "hkd_edge_runtime", "numpy"),
    *("fastapi", "starlette", "uvicorn", "prometheus_client"),
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_there_is_something_to_test() -> None:
    assert len(SOURCES) >= 10
    assert len(UNITS) == 2
    assert len(READMES) >= 3


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_an_example_needs_the_runtime_and_never_the_toolchain(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names
    assert foreign <= MAY_IMPORT


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    # The unit as it is, but for the interpreter, which is not under /opt on this machine.
    text = unit.read_text().replace("/opt/hkd-edge/venv/bin/python", sys.executable)
    assert sys.executable in text
    (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / unit.name], capture_output=True, text=True, check=False
    )
    told = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert (done.returncode, told) == (0, []), done.stderr


@pytest.mark.parametrize("line", ["Type=nonsense", "WatchdogSec=soon", "Restart=perhaps"])
def test_systemd_would_tell_a_broken_unit(line: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    broken = tmp_path / "broken.service"
    broken.write_text(f"[Service]\n{line}\nExecStart={sys.executable}\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", broken], capture_output=True, text=True, check=False
    )
    assert "broken.service" in done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_unit_starts_its_module_with_options_that_it_has(unit: Path) -> None:
    command = re.search(r"^ExecStart=\S+ -m (\S+) (.*)$", unit.read_text(), re.MULTILINE)
    assert command is not None
    environment = dict(
        line.split("=", 1)
        for file in unit.parent.glob("*.env")
        for line in file.read_text().splitlines()
        if line and not line.startswith("#")
    )
    text = re.sub(r"\$\{?(\w+)\}?", lambda found: environment[found[1]], command[2])
    import_module(command[1])._parser().parse_args(text.split())


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_links_of_the_readme_lead_somewhere(readme: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", readme.read_text(encoding="utf-8")):
        assert (readme.parent / target).exists(), target


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_modules_that_the_readme_starts_exist_and_know_its_options(readme: Path) -> None:
    for module, rest in re.findall(r"python3? -m (examples\.[\w.]+)([^\n#|&`]*)", readme.read_text(encoding="utf-8")):
        folder = FOLDER.parent / module.replace(".", "/")
        name = f"{module}.__main__" if folder.is_dir() else module
        import_module(name)._parser().parse_args(rest.split())
