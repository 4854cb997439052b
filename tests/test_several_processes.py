"""Whole trainings by several processes: the same student, files written once, and a clean end when one is lost."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hkd_edge.errors import ProcessLostError

ROOT = Path(__file__).resolve().parents[1]
# A small learning rate keeps training from enlarging what rounding differs by (at 0.1 two threads instead of one made
# 1e-2 of it within 34 steps), and leaves what a wrong gradient would do a hundred times above the tolerance.
SHORT = tuple(
    word
    for training in ("teacher.training", "distill.training")
    for change in ("epochs=1", "learning_rate=0.001")
    for word in ("--set", f"{training}.{change}")
)
LONG = ("--set", "teacher.training.epochs=400", "--set", "distill.training.epochs=3")
# Of weights and statistics; the mathematics is tested in float64 in tests/train/test_team.py.
TOLERANCE = 1e-4
MODULE = [sys.executable, "-m", "hkd_edge"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--log-dir", os.devnull]


def start(run: Path, *options: str, command: list[str] = MODULE) -> subprocess.Popen[str]:
    words = [*command, "distill", "digits", "-o", str(run), *options]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def finish(process: subprocess.Popen[str]) -> str:
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 0, told
    return told


def student(run: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(run / "student" / "student.pt", weights_only=True)["weights"]
    return weights


def largest_difference(one: Path, other: Path) -> float:
    first, second = student(one), student(other)
    return max(float((value.double() - second[name].double()).abs().max()) for name, value in first.items())


def processes_in(run: Path) -> list[int]:
    """The processes whose command names the run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(run).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def member(run: Path, rank: int) -> int:
    """The process of number `rank`."""
    for process in processes_in(run):
        if f"RANK={rank}".encode() in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
            return process
    raise AssertionError(f"no process of number {rank}")


def wait_for_epochs(run: Path, count: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while len(epochs(run)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "no epoch after 60 s"
        time.sleep(0.02)


def epochs(run: Path) -> list[tuple[str, int]]:
    """Training and number of each epoch that is recorded."""
    file = run / "metrics.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [(event["training"], event["epoch"]) for event in events if event.get("event") == "epoch"]


def assert_free(run: Path) -> None:
    """Nobody is at work in the run any more."""
    end = time.monotonic() + 10
    while processes_in(run) and time.monotonic() < end:
        time.sleep(0.05)
    assert processes_in(run) == []
    with (run / ".lock").open("w") as lock:
        while True:
            try:  # a process that ends loses its name a moment before its files
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                assert time.monotonic() < end, "the run is locked, and nobody is at work in it"
                time.sleep(0.05)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("alone") / "run"
    finish(start(run, *SHORT))
    return run


def test_two_processes_train_the_student_of_one_and_write_it_once(alone: Path, tmp_path: Path) -> None:
    told = finish(start(tmp_path / "run", *SHORT, "--devices", "2"))
    assert largest_difference(alone, tmp_path / "run") < TOLERANCE
    assert "threads) in 2 processes" in told
    for line in ("concept teacher epoch 1/1", "student epoch 1/1", "distill +done in"):
        assert len(re.findall(line, told)) == 1, line
    assert epochs(tmp_path / "run") == epochs(alone)
    files = [{file.relative_to(run) for file in run.rglob("*.[pnj]*")} for run in (alone, tmp_path / "run")]
    assert {re.sub("-[0-9a-f]{16}", "", str(file)) for file in files[0]} == {
        re.sub("-[0-9a-f]{16}", "", str(file)) for file in files[1]
    }
    assert_free(tmp_path / "run")


@pytest.mark.slow
def test_two_processes_end_a_whole_training_as_accurate_as_one(tmp_path: Path) -> None:
    top1 = []
    for devices in ("1", "2"):
        finish(start(tmp_path / devices, "--devices", devices))
        top1.append(
            json.loads((tmp_path / devices / "student" / "metrics.json").read_text())["epochs"][-1]["accuracies"]
        )
    assert abs(top1[0]["top1"] - top1[1]["top1"]) <= 2  # points; one of 269 images is 0.4


@pytest.mark.slow
def test_torchrun_starts_the_same_training(alone: Path, tmp_path: Path) -> None:
    finish(start(tmp_path / "run", *SHORT, command=[*TORCHRUN, "-m", "hkd_edge"]))
    assert largest_difference(alone, tmp_path / "run") < TOLERANCE
    assert epochs(tmp_path / "run") == epochs(alone)


@pytest.mark.slow
def test_two_machines_train_the_student_of_one(alone: Path, tmp_path: Path) -> None:
    """Two launchers of one process each, which stand for two machines that share the run directory."""
    where = ("--nodes", "2", "--address", "127.0.0.1:29871")
    machines = [start(tmp_path / "run", *SHORT, *where, "--node", str(node)) for node in (0, 1)]
    for machine in machines:
        finish(machine)
    assert largest_difference(alone, tmp_path / "run") < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 0])
def test_when_a_process_is_killed_all_end_and_the_run_goes_on_with_another_number(tmp_path: Path, rank: int) -> None:
    run = tmp_path / "run"
    process = start(run, *LONG, "--devices", "2")
    wait_for_epochs(run, 2, process)
    os.kill(member(run, rank), signal.SIGKILL)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == ProcessLostError.exit_code == 16
    assert told.count("error: ") == 1, told
    assert f"expected 2 processes that train together, got the end of number {rank} (SIGKILL)" in told
    assert "Traceback" not in told
    assert_free(run)
    done = len(epochs(run))
    # The same recipe goes on; its 400 epochs are not waited for.
    resumed = start(run, *LONG, "--resume", "--devices", "1")
    wait_for_epochs(run, done + 2, resumed)
    resumed.send_signal(signal.SIGINT)
    assert "stopped; go on by" in resumed.communicate(timeout=60)[1]
    assert epochs(run)[: done + 2] == [("concept", number) for number in range(1, done + 3)]


@pytest.mark.slow
def test_an_error_of_all_processes_is_told_once_with_its_own_exit_code(tmp_path: Path) -> None:
    process = start(tmp_path / "run", "--set", "teacher.training.learning_rate=1e30", "--devices", "2")
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 7
    assert told.count("error: ") == 1, told
    assert "expected a finite training loss" in told
    assert_free(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_launcher_stops_them_all(tmp_path: Path, number: int, code: int) -> None:
    run = tmp_path / "run"
    process = start(run, *LONG, "--devices", "2")
    wait_for_epochs(run, 1, process)
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == code, told
    assert ("stopped; go on by" in told) == (number == signal.SIGINT)
    assert_free(run)


@pytest.mark.slow
def test_a_killed_launcher_leaves_no_process_behind(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(run, *LONG, "--devices", "2")
    wait_for_epochs(run, 1, process)
    process.kill()
    process.communicate(timeout=60)  # the others hold its pipes until they end
    assert_free(run)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="NCCL between processes needs two CUDA devices")
def test_two_gpus_train_the_student_of_one(tmp_path: Path) -> None:
    for devices in ("1", "2"):
        finish(
            start(tmp_path / devices, *SHORT, "--set", "device=cuda", "--set", "precision=fp32", "--devices", devices)
        )
    assert largest_difference(tmp_path / "1", tmp_path / "2") < 10 * TOLERANCE  # TF32 has 10 bits


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--nodes", "2"), "expected --address HOST:PORT of machine 0 for --nodes 2, got none"),
        (("--nodes", "2", "--address", "there"), "expected --address HOST:PORT of machine 0 for --nodes 2, got there"),
        (("--nodes", "2", "--address", "a:1", "--node", "2"), "expected --node 0 to 1, got 2"),
    ],
)
def test_machines_that_cannot_meet_are_refused(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    process = start(tmp_path / "run", *options)
    assert told in process.communicate(timeout=60)[1]
    assert process.returncode == 2


@pytest.mark.slow
def test_a_run_directory_of_another_machine_alone_is_refused(tmp_path: Path) -> None:
    from hkd_edge.pipeline import help_pipeline

    class OnAnotherMachine:
        def hear(self) -> object:
            return None, tmp_path / "nowhere"

    with pytest.raises(Exception, match="Place it on a file system that all machines share"):
        help_pipeline(OnAnotherMachine())  # type: ignore[arg-type]
