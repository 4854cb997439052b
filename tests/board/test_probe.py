from __future__ import annotations

import pytest

from hkd_edge.board.probe import Probe, Python, choose_python, parse_probe, probe
from hkd_edge.board.ssh import Connection
from hkd_edge.errors import BoardError
from tests.board.conftest import Server

PI = Probe("Linux", "aarch64", "/home/pi", (Python("/usr/bin/python3", (3, 11), 64, False),))


def python(version: tuple[int, int], bits: int = 64) -> Python:
    return Python("/usr/bin/python3", version, bits, False)


def test_a_real_server_tells_its_machine_home_and_pythons(connection: Connection, server: Server) -> None:
    told = probe(connection)
    assert (told.system, told.home) == ("Linux", str(server.home))
    assert all(each.bits in (32, 64) for each in told.pythons)
    assert choose_python(told, "here").path.endswith("python3")


def test_an_interpreter_by_name_is_the_only_one_looked_at(connection: Connection) -> None:
    assert probe(connection, "/no such python").pythons == ()


def test_what_the_script_prints_is_read() -> None:
    text = "system Linux\nmachine aarch64\nhome /home/pi\npython 3.10 64 1 /usr/bin/my python3\npython  /bin/broken\n"
    assert parse_probe(text).pythons == (Python("/usr/bin/my python3", (3, 10), 64, True),)


def test_an_answer_that_is_none_is_refused() -> None:
    with pytest.raises(BoardError, match="expected system, machine and home, got 'This account is'"):
        parse_probe("This account is")


def test_the_first_python_that_is_new_enough_is_taken() -> None:
    board = Probe("Linux", "x86_64", "/home/pi", (python((3, 9)), python((3, 12)), python((3, 11))))
    assert choose_python(board, "pi@pi").version == (3, 12)


@pytest.mark.parametrize(
    ("board", "message"),
    [
        (
            Probe("Linux", "armv7l", "/", (python((3, 11), 32),)),
            "expected a 64-bit system (aarch64 or x86_64), got armv7l",
        ),
        (
            Probe("Linux", "aarch64", "/", (python((3, 11), 32),)),
            "got aarch64 with 32-bit programs. The runtimes have no",
        ),
        (Probe("Linux", "armv6l", "/", ()), "install the 64-bit system of the board"),
        (Probe("Darwin", "arm64", "/", ()), "expected Linux, got Darwin"),
        (
            Probe("Linux", "aarch64", "/", (python((3, 9)),)),
            "expected a Python 3.10 or newer, found /usr/bin/python3 3.9",
        ),
        (Probe("Linux", "aarch64", "/", ()), "expected a Python 3.10 or newer, found none. Install one"),
    ],
)
def test_a_board_that_does_not_suit_is_told_why(board: Probe, message: str) -> None:
    with pytest.raises(BoardError) as refused:
        choose_python(board, "pi@pi")
    assert str(refused.value).startswith("pi@pi: ")
    assert message in str(refused.value)


def test_a_pi_with_the_64_bit_system_will_do() -> None:
    assert choose_python(PI, "pi@pi") == PI.pythons[0]
