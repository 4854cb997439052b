"""No network traffic: OpenVINO's Python packages report their use when imported, unless they are stopped."""

from __future__ import annotations

import sys
from typing import Any, cast


def block_telemetry() -> None:
    """Makes `openvino_telemetry` impossible to import; openvino and nncf then fall back to their own stubs.

    Call it right before each `import openvino` or `import nncf`. OpenVINO has no switch for the
    import, and an opt-out file in the user's home would change the behaviour of other programs.
    """
    # None in sys.modules is the documented way to make an import raise ModuleNotFoundError.
    cast(Any, sys.modules)["openvino_telemetry"] = None
