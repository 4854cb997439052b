"""What several test modules share: a whole run on scikit-learn's digits, and the command line in a subprocess."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hkd_edge_runtime.tensorrt.installed import MODULES

# Threads that wait by spinning are up to 8 times slower on a busy machine; on an idle one they win a third.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A shell's background jobs ignore Ctrl-C, and so would all that they start: tests of it must not depend on that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Command = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def hkd_edge() -> Command:
    """Runs `hkd-edge` with the arguments given, as a person would, and returns what came of it."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from hkd_edge.cli import main; main()", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd or ROOT, check=False, timeout=300)

    return run


@pytest.fixture(scope="session")
def digits_run(hkd_edge: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the recipe `digits`; tests must not change it."""
    run = tmp_path_factory.mktemp("runs") / "digits"
    result = hkd_edge("run", "digits", "-o", run)
    assert result.returncode == 0, result.stderr
    return run


def module(name: str) -> ModuleType:
    """What stands in for a module of TensorRT that can be imported."""
    made = ModuleType(name)
    made.__version__ = "10.3.0"  # type: ignore[attr-defined]
    return made


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Makes of the three modules just those given importable."""

    def install(*modules: ModuleType) -> None:
        for name in MODULES:
            monkeypatch.setitem(sys.modules, name, None)
        for one in modules:
            monkeypatch.setitem(sys.modules, one.__name__, one)

    return install
