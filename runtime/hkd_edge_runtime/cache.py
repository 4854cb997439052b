"""Where this package keeps what it can always make again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The folder `hkd-edge` in the user's cache directory; it need not exist.

    That is XDG_CACHE_HOME or ~/.cache, and LOCALAPPDATA on Windows. Relative values are ignored, as the XDG Base
    Directory Specification asks.
    """
    given = Path(os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "hkd-edge"
