"""No network traffic: OpenVINO's Python packages and ONNX Runtime report their use, unless they are stopped."""

from __future__ import annotations

import os
import sys
from typing import Any, cast

# ONNX Runtime 1.32 reads the first, versions shortly before it the second.
_ONNX_RUNTIME_SWITCHES = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")


def block_telemetry() -> None:
    """Stops both for this process and those that it starts; call it right before each import of one of them.

    `openvino_telemetry` becomes impossible to import; openvino and nncf then fall back to their own stubs. OpenVINO
    has no switch for the import, and an opt-out file in the user's home would change the behaviour of other programs.

    ONNX Runtime looks at its environment variable when its library is loaded. Its `disable_telemetry_events` comes too
    late: by then 1.32 for Linux has an identifier in the user's cache directory, and may have sent it.
    """
    # None in sys.modules is the documented way to make an import raise ModuleNotFoundError.
    cast(Any, sys.modules)["openvino_telemetry"] = None
    for name in _ONNX_RUNTIME_SWITCHES:
        os.environ[name] = "1"
