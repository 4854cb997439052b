"""One ssh connection to a board through the user's own client and configuration, over which several commands run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from hkd_edge.errors import BoardError

# Printed by our commands before what we read, because a login shell may greet first.
MARK = "hkd-edge-begins"
_CONNECT_S = 20
# With a person at the terminal, who may have to type a password or touch a key.
_CONNECT_ATTENDED_S = 120
_TOLD_LINES = 8
# A Unix socket's name may have about 100 bytes, of which ssh wants 17 for a suffix of its own.
_LONGEST_FOLDER = 70
# What ssh itself refuses in host and user names, since such a name may reach a shell through ProxyCommand.
_UNSAFE = re.compile(r"""[\s\0-\x1f'"`$\\;&<>|(){}*?!#]""")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Destination:
    """Whom to call.

    Attributes:
        host: `user@board`, or a name from the user's ssh configuration.
        port: None leaves it to the configuration.
        options: as after ssh's -o, for example `IdentityFile=~/.ssh/board`; they win over ours.
    """

    host: str
    port: int | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.host or self.host.startswith("-") or _UNSAFE.search(self.host):
            raise BoardError(f"host: expected USER@HOST or a name from your ssh configuration, got {self.host!r}.")


class Connection(AbstractContextManager["Connection"]):
    """An open connection; closed at the end of the `with` block, and with this process if that is killed."""

    def __init__(self, destination: Destination, ssh: str = "ssh") -> None:
        self.host = destination.host
        self._ssh = ssh
        self._options = _options(destination)
        self._stack = ExitStack()
        self._master: subprocess.Popen[str] | None = None
        self._shared: list[str] = []

    def __enter__(self) -> Connection:
        with ExitStack() as on_error:
            on_error.callback(self.close)
            self._connect()
            on_error.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; a second call does nothing."""
        if self._master is not None:
            self._master.terminate()
            self._master.communicate()
            self._master = None
        self._stack.close()

    def run(
        self,
        step: str,
        script: str,
        arguments: Sequence[str] = (),
        *,
        timeout_s: float,
        send: Iterable[bytes] | None = None,
        on_line: Progress = lambda line: None,
    ) -> str:
        """What the shell `script` prints on the board after MARK, with `arguments` as $1, $2, ...

        Args:
            step: what messages call it.
            send: bytes for its standard input, which is empty otherwise.
            on_line: is told the lines of its standard error while it runs.

        Raises:
            BoardError: if it fails, with its last lines; or if it takes longer than `timeout_s`, which also ends the
                connection.
        """
        remote = " ".join(shlex.quote(word) for word in ("sh", "-c", script, "sh", *arguments))
        command = [*self._command(), "-o", "ControlMaster=no", "--", self.host, remote]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if send is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        expired = threading.Event()

        def stop() -> None:
            expired.set()
            self._hang_up(process)

        output, told = _talk(process, send, on_line, timeout_s, stop)
        if expired.is_set():
            raise BoardError(f"{self.host}: {step}: expected it to end within {timeout_s:g} s.{_told(told)}")
        if process.returncode != 0:
            what = "a lost connection" if process.returncode == 255 else f"exit code {process.returncode}"
            raise BoardError(f"{self.host}: {step}: expected it to work, got {what}.{_told(told)}")
        return output.decode("utf-8", "replace").partition(f"{MARK}\n")[2]

    def _hang_up(self, process: subprocess.Popen[bytes]) -> None:
        """Stops a command and the connection, which would hold the command's pipes open until that ends by itself."""
        process.kill()
        if self._master is not None:
            self._master.terminate()

    def _command(self) -> list[str]:
        return [self._ssh, "-T", *self._options, *self._shared]

    def _connect(self) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="hkd-", dir=_short_folder())))
        self._shared = ["-o", f"ControlPath={folder / 's'}"]
        errors = self._stack.enter_context((folder / "errors").open("w+", encoding="utf-8", errors="replace"))
        # The command on the board ends when our end of the pipe closes, and the connection with it.
        command = [*self._command(), "-o", "ControlMaster=yes", "-o", "ControlPersist=no", "--", self.host]
        try:
            self._master = subprocess.Popen(
                [*command, f"echo {MARK}; exec cat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                errors="replace",
            )
        except FileNotFoundError as error:
            raise BoardError("expected an ssh client, found none. Install OpenSSH's (openssh-client).") from error
        timeout_s = _CONNECT_ATTENDED_S if sys.stdin.isatty() else _CONNECT_S
        if not _answers(self._master, timeout_s):
            errors.seek(0)
            raise BoardError(
                f"{self.host}: expected to get in by ssh within {timeout_s} s, without a password unless at a terminal."
                f"{_told(errors.read().splitlines())} Try: ssh {self.host}"
            )


def _options(destination: Destination) -> list[str]:
    """ssh's own; the first value of a key wins, so the user's come first."""
    ours = [
        *([] if sys.stdin.isatty() else ["BatchMode=yes"]),  # never hangs where nobody can type a password
        f"ConnectTimeout={_CONNECT_S}",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=4",
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "RemoteCommand=none",
    ]
    port = [] if destination.port is None else ["-p", str(destination.port)]
    return [*port, *(word for option in (*destination.options, *ours) for word in ("-o", option))]


def _short_folder() -> str | None:
    return None if len(tempfile.gettempdir()) <= _LONGEST_FOLDER else "/tmp"


def _answers(master: subprocess.Popen[str], timeout_s: float) -> bool:
    """Whether the board printed MARK in time."""
    found = threading.Event()

    def read() -> None:
        assert master.stdout is not None
        if any(line.strip() == MARK for line in iter(master.stdout.readline, "")):
            found.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(timeout_s)
    return found.is_set()


def _talk(
    process: subprocess.Popen[bytes],
    send: Iterable[bytes] | None,
    on_line: Progress,
    timeout_s: float,
    stop: Callable[[], None],
) -> tuple[bytes, list[str]]:
    """Sends and receives until the process ends; its standard output, and the last lines of its standard error."""
    parts: list[bytes] = []
    last: deque[str] = deque(maxlen=_TOLD_LINES)

    def read_errors(stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip()
            last.append(text)
            on_line(text)

    def read_output(stream: IO[bytes]) -> None:
        parts.append(stream.read())

    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        threading.Thread(target=read_errors, args=(process.stderr,), daemon=True),
        threading.Thread(target=read_output, args=(process.stdout,), daemon=True),
    ]
    alarm = threading.Timer(timeout_s, stop)
    with process.stdout, process.stderr:
        alarm.start()
        try:
            for reader in readers:
                reader.start()
            if send is not None:
                _send(process, send)
            process.wait()
            for reader in readers:
                reader.join()
        finally:
            alarm.cancel()
            if process.poll() is None:  # Ctrl-C
                stop()
                process.wait()
    return b"".join(parts), list(last)


def _send(process: subprocess.Popen[bytes], parts: Iterable[bytes]) -> None:
    """Writes until the other side takes no more; why it stopped is told by its exit code."""
    assert process.stdin is not None
    try:
        with process.stdin:
            for part in parts:
                process.stdin.write(part)
    except BrokenPipeError:
        return


def _told(lines: Sequence[str]) -> str:
    last = [line for line in lines if line.strip()][-_TOLD_LINES:]
    return f" It said: {' | '.join(last)}" if last else ""
