"""Processes that are started together end together, and one code and one message tell how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import pytest

from hkd_edge.errors import ProcessLostError
from hkd_edge.run import launch as launching
from hkd_edge.run.launch import Place, launch

SLEEP = "import time; time.sleep(60)"
LOST = f"import time; time.sleep(0.1); raise SystemExit({ProcessLostError.exit_code})"


def run(monkeypatch: pytest.MonkeyPatch, *scripts: str, **place: int) -> tuple[int, list[subprocess.Popen[bytes]]]:
    """The exit code of a launch of small scripts in the place of hkd-edge, and their processes."""
    started: list[subprocess.Popen[bytes]] = []

    def start(arguments: Sequence[str], place: Place, local: int, *_: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-S", "-c", scripts[local]], process_group=0))
        return started[-1]

    monkeypatch.setattr(launching, "_start", start)
    monkeypatch.setattr(launching, "_OWN_END_S", 0.5)
    try:
        return launch([], Place(devices=len(scripts), **place)), started
    finally:
        assert all(process.poll() is not None for process in started)


def test_all_good_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "", "import time; time.sleep(0.2)")[0] == 0


def test_an_error_of_the_first_is_the_code_although_the_others_are_lost_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    code, (_, other, sleeper) = run(monkeypatch, "raise SystemExit(7)", LOST, SLEEP)
    assert (code, other.returncode, sleeper.returncode) == (7, 16, -signal.SIGTERM)


def test_an_error_of_another_is_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, LOST, "raise SystemExit(5)")[0] == 5


def test_a_killed_process_is_named_with_its_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    kill = "import os; os.kill(os.getpid(), 9)"
    with pytest.raises(ProcessLostError) as caught:
        run(monkeypatch, LOST, kill, node=1, nodes=2)
    told = str(caught.value)
    assert "expected 4 processes that train together, got the end of number 3 (SIGKILL)" in told
    assert "SIGKILL often means that memory ran out. What is trained is kept" in told


@pytest.mark.parametrize(
    ("nodes", "told"), [(2, "one on another machine, which says why"), (1, "the connections between them")]
)
def test_when_all_here_are_lost_by_others_it_is_told(monkeypatch: pytest.MonkeyPatch, nodes: int, told: str) -> None:
    with pytest.raises(ProcessLostError, match=f"got the end of {told}"):
        run(monkeypatch, LOST, LOST, nodes=nodes)


def test_an_interrupt_is_passed_on_to_the_first_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = "import signal, time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: raise SystemExit(130)"
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    code, (_, other) = run(monkeypatch, first, SLEEP)
    assert (code, other.returncode) == (130, -signal.SIGTERM)


def test_a_process_that_does_not_end_when_asked_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "_LAST_S", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    failing = "import time; time.sleep(0.3); raise SystemExit(3)"
    assert run(monkeypatch, failing, deaf)[1][1].returncode == -signal.SIGKILL


def test_each_process_is_told_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    told = launching._told(Place(devices=2, nodes=3, node=2, address="here:70"), 1, "here:70")
    cores = str(max(1, (os.cpu_count() or 1) // 2))
    place = {"RANK": "5", "WORLD_SIZE": "6", "LOCAL_RANK": "1"}
    assert told == {**place, "MASTER_ADDR": "here", "MASTER_PORT": "70", "OMP_NUM_THREADS": cores}


def test_a_process_ends_with_the_one_that_started_it() -> None:
    code = "from hkd_edge.run.launch import end_with_launch; end_with_launch(); import time; time.sleep(60)"
    reads, writes = os.pipe()
    environment = {**os.environ, "HKD_EDGE_LIFELINE": str(reads)}
    child = subprocess.Popen([sys.executable, "-c", code], env=environment, pass_fds=[reads])
    time.sleep(0.5)
    assert child.poll() is None
    os.close(writes)
    assert child.wait(timeout=10) == ProcessLostError.exit_code
    os.close(reads)
