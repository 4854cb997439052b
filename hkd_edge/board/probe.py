"""What a board is, and whether the runtimes exist for it: asked by a shell alone, since Python may be missing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from hkd_edge.board.ssh import MARK, Connection
from hkd_edge.errors import BoardError

OLDEST_PYTHON = (3, 10)
_NAMES = ("python3", "python3.13", "python3.12", "python3.11", "python3.10")
_TIMEOUT_S = 60

# Each Python tells its version, the size of its pointers, and whether it has TensorRT, which comes with JetPack.
_SCRIPT = f"""
echo {MARK}
echo "system $(uname -s)"
echo "machine $(uname -m)"
echo "home $HOME"
for name in "$@"; do
  path=$(command -v "$name") || continue
  echo "python $("$path" -c "$PROGRAM") $path"
done
"""
_PROGRAM = (
    "import sys, struct, importlib.util as u; "
    "print('%d.%d' % sys.version_info[:2], 8 * struct.calcsize('P'), int(u.find_spec('tensorrt') is not None))"
)


@dataclass(frozen=True)
class Python:
    """An interpreter on the board; `bits` is the size of its pointers."""

    path: str
    version: tuple[int, int]
    bits: int
    has_tensorrt: bool


@dataclass(frozen=True)
class Probe:
    """What a board told of itself."""

    system: str
    machine: str
    home: str
    pythons: tuple[Python, ...]


def probe(connection: Connection, python: str | None = None) -> Probe:
    """What the board is; looks at `python`, or else at the usual names in its search path."""
    script = f"PROGRAM={shlex.quote(_PROGRAM)}\n{_SCRIPT}"
    names = _NAMES if python is None else (python,)
    return parse_probe(connection.run("look at the board", script, names, timeout_s=_TIMEOUT_S))


def parse_probe(text: str) -> Probe:
    """The probe that the script printed.

    Raises:
        BoardError: if it printed something else.
    """
    lines = [line.partition(" ") for line in text.splitlines()]
    facts = {key: value for key, _, value in lines if key != "python"}
    if not {"system", "machine", "home"} <= facts.keys():
        raise BoardError(f"look at the board: expected system, machine and home, got {text[:200]!r}.")
    pythons = tuple(found for key, _, value in lines if key == "python" and (found := _parse_python(value)))
    return Probe(facts["system"], facts["machine"], facts["home"], pythons)


def choose_python(board: Probe, host: str, asked: str | None = None) -> Python:
    """The first interpreter that will do.

    Raises:
        BoardError: if the board is not a 64-bit Linux, or has no Python that is new enough.
    """
    if board.system != "Linux":
        raise BoardError(f"{host}: expected Linux, got {board.system}. Run bench there by hand: see runtime/README.md.")
    # A Raspberry Pi can run 32-bit programs under a 64-bit kernel, which then calls itself aarch64.
    if not re.fullmatch("aarch64|x86_64", board.machine) or _has_32_bit_programs_alone(board.pythons):
        raise BoardError(
            f"{host}: expected a 64-bit system (aarch64 or x86_64), got {board.machine}"
            f"{' with 32-bit programs' if board.pythons else ''}. The runtimes have no wheels for it: install the "
            "64-bit system of the board."
        )
    fitting = [each for each in board.pythons if each.bits == 64 and each.version >= OLDEST_PYTHON]
    if not fitting:
        found = ", ".join(f"{each.path} {_dotted(each.version)}" for each in board.pythons) or "none"
        raise BoardError(
            f"{host}: expected {asked or 'a Python'} {_dotted(OLDEST_PYTHON)} or newer, found {found}. Install one "
            "(Raspberry Pi OS has it from 12 on, JetPack from 6 on), or name one by --python."
        )
    return fitting[0]


def _has_32_bit_programs_alone(pythons: Sequence[Python]) -> bool:
    return bool(pythons) and all(each.bits == 32 for each in pythons)


def _parse_python(text: str) -> Python | None:
    found = re.fullmatch(r"(\d+)\.(\d+) (\d+) ([01]) (.+)", text)
    if found is None:  # one that did not run
        return None
    major, minor, bits, tensorrt, path = found.groups()
    return Python(path, (int(major), int(minor)), int(bits), tensorrt == "1")


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
