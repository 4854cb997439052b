"""Small things that this machine found out about bundles, as JSON files in the user's cache folder.

All of it can be found out again: an entry that is missing or damaged is the same as none, and a folder that cannot be
written is a warning.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hkd_edge_runtime.files import write_json_atomically


class CacheWarning(RuntimeWarning):
    """Something could not be kept, and will be worked out again the next time."""


def cache_folder() -> Path:
    """The folder `hkd-edge` in the user's cache directory; it need not exist.

    That is XDG_CACHE_HOME or ~/.cache, and LOCALAPPDATA on Windows. Relative values are ignored, as the XDG Base
    Directory Specification asks.

    Raises:
        RuntimeError: if the user has no home.
    """
    given = Path(os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "hkd-edge"


def key_of(facts: Mapping[str, object]) -> str:
    """The name of an entry that hangs on `facts`, plain JSON values: their SHA-256, in whatever order they are."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8")).hexdigest()


def remember(kind: str, key: str, entry: Mapping[str, object]) -> None:
    """Keeps `entry`, plain JSON values, under `key` (letters, digits, `-`) in the folder of its `kind`.

    Where that cannot be done a `CacheWarning` says so, once for each reason and folder, and nothing else is lost.
    """
    try:
        path = _path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(path, dict(entry))
    except OSError as error:
        _warn_once(f"{cache_folder()} ({error.strerror})")
    except RuntimeError as error:
        _warn_once(str(error))


def recall(kind: str, key: str) -> dict[str, Any] | None:
    """The entry that `remember` kept under `key`; None if there is none that can be read."""
    try:
        entry = json.loads(_path(kind, key).read_bytes())
    except (OSError, RuntimeError, ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def is_empty(kind: str) -> bool:
    """Whether nothing was ever remembered of this kind, so that asking for a key, which takes time, is in vain."""
    try:
        return not (cache_folder() / kind).is_dir()
    except RuntimeError:
        return True


def _path(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}.json"


@cache
def _warn_once(problem: str) -> None:
    warnings.warn(
        f"expected a cache folder that can be written, got {problem}. Golden images are run, and artefacts calibrated, "
        "anew each time. Set XDG_CACHE_HOME to a folder that can be written.",
        CacheWarning,
        stacklevel=_stacklevel(),
    )


def _stacklevel() -> int:
    """How far above `_warn_once` the first function outside this package is, whom the warning concerns."""
    # From Python 3.12 on `skip_file_prefixes` does this.
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] == "hkd_edge_runtime":
        frame, level = frame.f_back, level + 1
    return level
