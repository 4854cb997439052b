"""`--devices N --nodes M`: starts the processes that train together on this machine, and ends them together.

Each is told its place by torch's variables (RANK, WORLD_SIZE, ...), as by torchrun. Beyond torchrun: all of them end
with this process, however it ends, and what became of a run is told by its exit code and one message.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from hkd_edge.errors import ProcessLostError

_LIFELINE = "HKD_EDGE_LIFELINE"  # the descriptor of a pipe that ends with the process that has started this one
_LOOK_S = 0.05
_OWN_END_S = 5.0  # in which the others notice that one is lost, and write nothing half
_LAST_S = 10.0
_TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Place:
    """Which processes to start: `devices` here, on the machine of number `node` of `nodes`.

    `address` is HOST:PORT of the first machine, where all of them meet; None is this machine, and any free port.
    """

    devices: int = 1
    nodes: int = 1
    node: int = 0
    address: str | None = None

    @property
    def size(self) -> int:
        """How many processes train together."""
        return self.devices * self.nodes


def started_by_launch() -> bool:
    """Whether `launch` has started this process, and tells what becomes of it."""
    return _LIFELINE in os.environ


def end_with_launch() -> None:
    """From now on this process ends when the one that has started it does."""

    def wait() -> None:
        os.read(int(os.environ[_LIFELINE]), 1)  # nothing is ever written: this is its end
        os._exit(ProcessLostError.exit_code)

    threading.Thread(target=wait, daemon=True).start()


def launch(arguments: Sequence[str], place: Place) -> int:
    """Runs `hkd-edge ARGUMENTS` in all processes of `place`, and returns the exit code of the run.

    An interrupt is passed on to the first process, which ends the run by it.

    Raises:
        ProcessLostError: if a process was killed, or one on another machine was lost.
    """
    with _terminated_by_exception(), _lifeline() as lifeline:
        address = place.address or _free_address()
        processes = [_start(arguments, place, local, address, lifeline) for local in range(place.devices)]
        try:
            codes = _wait(processes)
        finally:
            _end(processes)
    return _outcome(codes, place)


def _start(arguments: Sequence[str], place: Place, local: int, address: str, lifeline: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **_told(place, local, address), _LIFELINE: str(lifeline)}
    command = [sys.executable, "-m", "hkd_edge", *arguments]
    # In a group of its own Ctrl-C reaches it through this process alone.
    return subprocess.Popen(command, env=environment, pass_fds=[lifeline], process_group=0)


def _told(place: Place, local: int, address: str) -> Mapping[str, str]:
    host, _, port = address.rpartition(":")
    told = {
        "RANK": str(place.node * place.devices + local),
        "WORLD_SIZE": str(place.size),
        "LOCAL_RANK": str(local),
        "MASTER_ADDR": host,
        "MASTER_PORT": port,
    }
    # Threads beyond the cores cost far more than they bring.
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // place.devices)))
    return {**told, "OMP_NUM_THREADS": threads}


def _free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    """The exit codes when all have ended, or a while after one has failed: None of those still there."""
    while True:
        try:
            while not _failed(processes) and any(process.poll() is None for process in processes):
                time.sleep(_LOOK_S)
            end = time.monotonic() + _OWN_END_S
            while any(process.poll() is None for process in processes) and time.monotonic() < end:
                time.sleep(_LOOK_S)
            return [process.poll() for process in processes]
        except KeyboardInterrupt:
            processes[0].send_signal(signal.SIGINT)


def _failed(processes: Sequence[subprocess.Popen[bytes]]) -> bool:
    return any(process.poll() not in (None, 0) for process in processes)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(_LAST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _outcome(codes: Sequence[int | None], place: Place) -> int:
    """The code of the process that says why; the first process's, if several do."""
    lost = ProcessLostError.exit_code
    killed = [(local, -code) for local, code in enumerate(codes) if code is not None and code < 0]
    told = [code for code in codes if code is not None and code > 0 and code != lost]
    if told or not (killed or lost in codes):
        return told[0] if told else 0
    ends = [f"number {place.node * place.devices + local} ({_signal_name(number)})" for local, number in killed]
    elsewhere = "one on another machine, which says why" if place.nodes > 1 else "the connections between them"
    raise ProcessLostError(
        f"expected {place.size} processes that train together, got the end of "
        f"{' and '.join(ends) or elsewhere}. "
        + ("SIGKILL often means that memory ran out. " if any(by == signal.SIGKILL for _, by in killed) else "")
        + "What is trained is kept to the last whole epoch: go on by --resume, by any number of processes."
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextmanager
def _lifeline() -> Iterator[int]:
    """The end to read of a pipe whose other end closes with this process at the latest."""
    reads, writes = os.pipe()
    try:
        yield reads
    finally:
        os.close(reads)
        os.close(writes)


@contextmanager
def _terminated_by_exception() -> Iterator[None]:
    """Within the block SIGTERM leaves through `finally`, with the exit code of shells for it."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
