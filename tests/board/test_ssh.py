from __future__ import annotations

import stat
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hkd_edge.board import ssh
from hkd_edge.board.ssh import MARK, Connection, Destination
from hkd_edge.errors import BoardError
from tests.board.conftest import Server

HOSTILE = ["a b", "it's", '"', "$(touch pwned)", "`touch pwned`", "; touch pwned", "\\", "*", "~", "-rf", "ü\nx"]


@pytest.mark.parametrize(
    "host",
    ["", "-oProxyCommand=touch pwned", "a b", "$(id)@board", "pi@`id`", "pi@a;id", "pi@a|id", "a\nb", "pi@\\board"],
)
def test_a_host_that_ssh_or_a_shell_could_take_for_more_is_refused(host: str) -> None:
    with pytest.raises(BoardError) as refused:
        Destination(host)
    assert str(refused.value).startswith("host: expected USER@HOST or a name from your ssh configuration, got ")


@pytest.mark.parametrize("host", ["pi@raspberrypi", "board", "pi@192.168.0.7", "user@fe80::1%eth0", "a-b_c.local"])
def test_usual_hosts_are_taken(host: str) -> None:
    assert Destination(host).host == host


@pytest.mark.parametrize("attended", [True, False])
def test_passwords_are_asked_for_at_a_terminal_only_and_the_users_options_come_first(
    monkeypatch: pytest.MonkeyPatch, attended: bool
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: attended))
    options = ssh._options(Destination("board", 2222, ("ConnectTimeout=1",)))
    assert options[:4] == ["-p", "2222", "-o", "ConnectTimeout=1"]
    assert ("BatchMode=yes" in options) is not attended


def test_arguments_arrive_as_they_are_and_run_nothing(connection: Connection, server: Server) -> None:
    script = f'echo {MARK}; for each in "$@"; do printf "%s\\0" "$each"; done'
    assert connection.run("echo", script, HOSTILE, timeout_s=10).split("\0")[:-1] == HOSTILE
    assert not list(server.home.rglob("pwned"))


def test_what_a_login_shell_says_first_is_left_out(connection: Connection) -> None:
    assert connection.run("greet", f"echo Welcome; echo {MARK}; echo answer", timeout_s=10) == "answer\n"


def test_bytes_are_sent_to_the_standard_input(connection: Connection) -> None:
    sent = [bytes(range(256)) * 1000, b"end"]
    assert connection.run("count", f"echo {MARK}; wc -c", timeout_s=10, send=sent).strip() == "256003"


def test_lines_of_the_standard_error_are_told_while_it_runs(connection: Connection) -> None:
    told: list[str] = []
    connection.run("tell", "echo one >&2; echo two >&2", timeout_s=10, on_line=told.append)
    assert told == ["one", "two"]


def test_a_failing_step_is_told_with_its_exit_code_and_last_lines(connection: Connection) -> None:
    with pytest.raises(BoardError) as failed:
        connection.run("build", "for i in 1 2 3 4 5 6 7 8 9; do echo line $i >&2; done; exit 7", timeout_s=10)
    assert str(failed.value).endswith(
        "build: expected it to work, got exit code 7. "
        "It said: line 2 | line 3 | line 4 | line 5 | line 6 | line 7 | line 8 | line 9"
    )
    assert failed.value.exit_code == 13


def test_a_step_that_takes_too_long_is_stopped(server: Server) -> None:
    started = time.monotonic()
    expected = r"wait: expected it to end within 0\.5 s\. It said: so far"
    with Connection(server.destination) as connection, pytest.raises(BoardError, match=expected):
        connection.run("wait", "echo so far >&2; sleep 60", timeout_s=0.5)
    assert time.monotonic() - started < 5


def test_a_receiver_that_stops_early_is_a_failed_step_not_a_broken_pipe(connection: Connection) -> None:
    with pytest.raises(BoardError, match="take: expected it to work, got exit code 4. It said: disk full"):
        connection.run("take", "echo disk full >&2; exit 4", timeout_s=10, send=iter([bytes(1 << 20)] * 20))


def test_the_socket_of_the_connection_is_the_users_alone_and_goes_with_it(server: Server) -> None:
    with Connection(server.destination) as connection:
        folder = Path(connection._shared[1].partition("=")[2]).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_a_closed_port_is_told_with_what_ssh_says() -> None:
    with (
        pytest.raises(BoardError, match="expected to get in by ssh.*refused.*Try: ssh pi@127.0.0.1"),
        Connection(Destination("pi@127.0.0.1", 1)),
    ):
        pass


def test_a_server_that_wants_a_password_does_not_hang(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    others = tuple(option for option in server.destination.options if "Identit" not in option)
    nobody = Destination(server.destination.host, server.destination.port, (*others, "IdentityFile=/dev/null"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(BoardError, match="Permission denied"), Connection(nobody):
        pass


def test_a_missing_client_is_told() -> None:
    with (
        pytest.raises(BoardError, match="expected an ssh client, found none"),
        Connection(Destination("board"), ssh="no-such-ssh"),
    ):
        pass
