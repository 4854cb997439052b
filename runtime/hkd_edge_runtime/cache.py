"""Small things that this machine remembers about bundles, as JSON files in the user's cache folder.

All of it can be found out again: an entry that is missing or damaged is the same as none, and a folder that cannot be
written is a warning.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hkd_edge_runtime.files import write_json_atomically

FOLDER = "hkd-edge"


class CacheWarning(UserWarning):
    """Something could not be remembered, and will be found out again the next time."""


def cache_folder() -> Path:
    """`hkd-edge` in $XDG_CACHE_HOME or ~/.cache, on Windows in %LOCALAPPDATA%; it need not exist.

    Raises:
        RuntimeError: if the user has no home.
    """
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    named = os.environ.get(variable, "")
    # The XDG base directory specification has relative paths ignored.
    return (Path(named) if Path(named).is_absolute() else Path.home() / ".cache") / FOLDER


def remember(kind: str, key: str, entry: Mapping[str, object]) -> None:
    """Keeps `entry`, plain JSON values, under `key` (letters, digits, `-`) in the folder of its `kind`.

    Warns with a `CacheWarning` if it cannot be written.
    """
    try:
        path = _path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(path, dict(entry))
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"{kind}: expected a cache folder that can be written, got {error}. It is worked out anew each time; set "
            "XDG_CACHE_HOME to a folder that can be written.",
            CacheWarning,
            stacklevel=2,
        )


def recall(kind: str, key: str) -> dict[str, Any] | None:
    """The entry that `remember` kept under `key`; None if there is none that can be read."""
    import json

    try:
        entry = json.loads(_path(kind, key).read_bytes())
    except (OSError, RuntimeError, ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _path(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}.json"
