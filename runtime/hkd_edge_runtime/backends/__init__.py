"""The backends by name; each is imported when it is asked for, and its runtime when it opens a file."""

from __future__ import annotations

import importlib
from typing import cast

from hkd_edge_runtime.backends.base import Backend, Outputs
from hkd_edge_runtime.errors import MissingBackendError, did_you_mean
from hkd_edge_runtime.targets import ALIASES, canonical_name

__all__ = ["ALIASES", "BACKENDS", "Backend", "Outputs", "backend_class", "canonical_name"]

BACKENDS: dict[str, str] = {
    "onnxruntime": "hkd_edge_runtime.backends.onnxruntime:OnnxRuntimeBackend",
    "openvino": "hkd_edge_runtime.backends.openvino:OpenVinoBackend",
    "tensorrt": "hkd_edge_runtime.backends.tensorrt:TensorRtBackend",
}


def backend_class(name: str) -> type[Backend]:
    """The class of the backend `name` (or of an alias); its runtime need not be installed.

    Raises:
        MissingBackendError: if this version of the runtime has no such backend.
    """
    canonical = canonical_name(name)
    if canonical not in BACKENDS:
        nearest = did_you_mean(name, [*BACKENDS, *ALIASES])
        raise MissingBackendError(f"expected a backend out of {', '.join(BACKENDS)}, got {name!r}.{nearest}")
    module, _, attribute = BACKENDS[canonical].partition(":")
    return cast(type[Backend], getattr(importlib.import_module(module), attribute))
