"""The small files of /proc and /sys, and commands: read if they are there, None or empty if they are not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path("/")
COMMAND_TIMEOUT_S = 5.0

# What a command prints, or None where it is missing or fails.
Command = Callable[[Sequence[str]], "str | None"]


def read_text(path: Path) -> str:
    """The text of a file without NULs and blanks around it; empty where it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \n\t")
    except OSError:  # sensors of a Jetson refuse to be read while their part of the chip is off
        return ""


def read_number(path: Path) -> int | None:
    """The whole number in a file; None where there is none."""
    text = read_text(path)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def numbered(folder: Path, prefix: str) -> list[Path]:
    """The entries PREFIX0, PREFIX1, ... of a folder in the order of their numbers."""
    found = [entry for entry in folder.glob(f"{prefix}*") if entry.name.removeprefix(prefix).isdigit()]
    return sorted(found, key=lambda entry: int(entry.name.removeprefix(prefix)))


def run_command(command: Sequence[str]) -> str | None:
    """What `command` prints; None where it is not installed, fails or hangs."""
    import shutil  # here, as a load reads files of /proc as well, and need not wait for these
    import subprocess

    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=COMMAND_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
