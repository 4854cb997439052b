"""Opens an hkd-edge bundle, verifies it and classifies images with it; importing it needs numpy only.

Start at `load`: `with load("bundle") as model: answer = model.predict("coat.png")`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from hkd_edge_runtime.errors import (
    BundleError,
    BusyModelError,
    ClosedModelError,
    DeviceError,
    HkdEdgeError,
    InputError,
    KeyFileError,
    MissingBackendError,
)

if TYPE_CHECKING:
    from hkd_edge_runtime.decision import Decision
    from hkd_edge_runtime.decode import Answer, ConceptAnswer
    from hkd_edge_runtime.preprocess import fit_image, read_image_bytes
    from hkd_edge_runtime.session import Model, load

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "BundleError",
    "BusyModelError",
    "ClosedModelError",
    "ConceptAnswer",
    "Decision",
    "DeviceError",
    "HkdEdgeError",
    "InputError",
    "KeyFileError",
    "MissingBackendError",
    "Model",
    "__version__",
    "fit_image",
    "load",
    "read_image_bytes",
]

# These bring numpy (about 0.1 s); the toolchain's `--help`, which needs the errors alone, must not wait for it.
_ON_DEMAND = {
    "Answer": "decode",
    "ConceptAnswer": "decode",
    "Decision": "decision",
    "Model": "session",
    "fit_image": "preprocess",
    "load": "session",
    "read_image_bytes": "preprocess",
}


def __getattr__(name: str) -> object:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
