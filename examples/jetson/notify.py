"""Tells systemd how the service is, without a dependency: sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def sd_notify(*states: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Sends `states` (`READY=1`, `STATUS=...`) to the service manager; False if none listens.

    Raises:
        OSError: if the socket that the environment names cannot be reached.
        ValueError: if NOTIFY_SOCKET is neither a path nor an abstract name.
    """
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address[0] not in "/@":
        raise ValueError(f"NOTIFY_SOCKET: expected a path or @name, got {address!r}.")
    # An abstract name is written with @ and used with a NUL byte.
    target = "\0" + address[1:] if address[0] == "@" else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(target)
        sender.sendall("\n".join(states).encode())
    return True


def watchdog_interval_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """How often to send WATCHDOG=1: half of what systemd waits, as its manual advises; None without a watchdog."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environment.get("WATCHDOG_USEC")
    return int(microseconds) / 2e6 if microseconds else None
