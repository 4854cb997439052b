"""`metrics.jsonl`: a line that names format and version, then one JSON object for each event, written as it happens.

A reader never meets half a line but at the very end, where a process was killed in the middle of writing one; such an
end is left out by readers and cut off by the next run. Lines that no longer hold are taken out by replacing the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hkd_edge.errors import RunDirectoryError
from hkd_edge.track.events import EVENTS, Event
from hkd_edge_runtime import __version__
from hkd_edge_runtime.files import write_bytes_atomically
from hkd_edge_runtime.strict import decode, encode

METRICS_FILE = "metrics.jsonl"
FORMAT = "hkd-edge-metrics"
FORMAT_VERSION = 1
_NAMES = {kind: name for name, kind in EVENTS.items()}


class Record:
    """The events of one run, on disk as soon as they are appended. Only one process may have it open."""

    def __init__(self, path: Path) -> None:
        """Opens or begins the file at `path`.

        Raises:
            RunDirectoryError: if it is damaged otherwise than by a torn end, or of another version.
        """
        self._path = path
        self.events = read_events(path)
        _cut_torn_end(path)
        self._file = path.open("ab", buffering=0)
        if path.stat().st_size == 0:
            self._write(_header())

    def append(self, event: Event) -> None:
        """Adds `event`."""
        self._write(_line(event))
        self.events.append(event)

    def discard(self, holds_no_more: Callable[[Event], bool]) -> bool:
        """Takes out the events for which `holds_no_more`; whether there were any."""
        kept = [event for event in self.events if not holds_no_more(event)]
        if len(kept) == len(self.events):
            return False
        write_bytes_atomically(self._path, _header() + b"".join(map(_line, kept)))
        self._file.close()
        self._file = self._path.open("ab", buffering=0)
        self.events = kept
        return True

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, line: bytes) -> None:
        # Not by a buffer: after a full disk it would write the rest of the line whenever it is closed.
        rest = memoryview(line)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())


def read_events(path: Path) -> list[Event]:
    """The events in `path`, the file of a run that may still go on; none if it is missing.

    Raises:
        RunDirectoryError: if it is damaged or of another version.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunDirectoryError(f"{path}: expected a file that can be read, got: {error}.") from error
    lines = content.split(b"\n")[:-1]  # what follows the last line's end is nothing, or torn
    if lines:
        _check_header(path, lines[0])
    return [_event(line, f"{path}:{number}") for number, line in enumerate(lines[1:], start=2)]


def _cut_torn_end(path: Path) -> None:
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def _header() -> bytes:
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "created_by": f"hkd-edge {__version__}"}
    return json.dumps(head).encode() + b"\n"


def _line(event: Event) -> bytes:
    value = {"event": _NAMES[type(event)], **encode(event)}
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _check_header(path: Path, line: bytes) -> None:
    head = _parsed(line)
    found = (head.get("format"), head.get("format_version"))
    if found != (FORMAT, FORMAT_VERSION):
        raise _unusable(f"{path}:1", [f"{found[0]} {found[1]}."])


def _event(line: bytes, place: str) -> Event:
    value, problems = _parsed(line), list[str]()
    kind = EVENTS.get(str(value.pop("event", None)))
    if kind is None:
        raise _unusable(place, [f"no event ({', '.join(EVENTS)})."])
    event: Event = decode(kind, value, "", problems)
    if problems:
        raise _unusable(place, problems)
    return event


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _unusable(place: str, found: Iterable[str]) -> RunDirectoryError:
    return RunDirectoryError(
        f"{place}: expected {FORMAT} {FORMAT_VERSION}, got {' '.join(found)} "
        "No result depends on this file: move it away and go on by --resume."
    )
