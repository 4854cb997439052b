"""A folder in which images arrive, and what becomes of each: a result beside it, and the image out of the way."""

from __future__ import annotations

import os
from pathlib import Path

from hkd_edge_runtime.files import write_json_atomically

# A result's temporary name is longer than the image's, and a file's name has at most 255 bytes.
LONGEST_NAME_BYTES = 200
UNFINISHED = (".part", ".tmp")


class Inbox:
    """`root`/inbox with its neighbours results, done and failed, which are made where they are missing.

    An image stays in the inbox until its result is written, so that one that was interrupted is taken again.

    Args:
        delete: delete images that were classified, rather than moving them to `done`.
    """

    def __init__(self, root: Path, *, delete: bool = False) -> None:
        self.inbox, self.results, self.done, self.failed = (
            root / name for name in ("inbox", "results", "done", "failed")
        )
        for folder in (self.inbox, self.results, self.done, self.failed):
            folder.mkdir(parents=True, exist_ok=True)
        self._delete = delete
        self._seen: dict[str, tuple[int, int]] = {}

    def settled(self) -> list[Path]:
        """The images, oldest first, whose size and time are those of the last call: they are written to the end."""
        now: dict[str, tuple[int, int]] = {}
        with os.scandir(self.inbox) as entries:
            for entry in entries:
                # A link could lead to a file that its owner may not read but this service may.
                if _is_candidate(entry.name) and entry.is_file(follow_symlinks=False):
                    now[entry.name] = _size_and_time(entry)
        same = [name for name, state in now.items() if self._seen.get(name) == state and state[0] > 0]
        self._seen = now
        return [self.inbox / name for name in sorted(same, key=lambda name: (now[name][1], name))]

    def finish(self, image: Path, result: dict[str, object], *, failed: bool = False) -> None:
        """Writes the result and takes the image away; a former one of that name is replaced."""
        write_json_atomically(self.results / f"{image.name}.json", result)
        if self._delete and not failed:
            image.unlink(missing_ok=True)
        else:
            image.replace((self.failed if failed else self.done) / image.name)


def _is_candidate(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(UNFINISHED) and len(os.fsencode(name)) <= LONGEST_NAME_BYTES


def _size_and_time(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        # It was taken away since the folder was listed; a size of 0 is never settled.
        return 0, 0
    return status.st_size, status.st_mtime_ns
