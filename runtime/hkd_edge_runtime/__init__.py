"""Opens an hkd-edge bundle, verifies it and classifies images with it; importing it needs numpy only.

Start at `load`: `with load("bundle") as model: answer = model.predict("coat.png")`.
"""

from __future__ import annotations

from hkd_edge_runtime.decode import Answer, ConceptAnswer
from hkd_edge_runtime.errors import (
    BundleError,
    ClosedModelError,
    HkdEdgeError,
    InputError,
    MissingBackendError,
)
from hkd_edge_runtime.session import Model, load

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "BundleError",
    "ClosedModelError",
    "ConceptAnswer",
    "HkdEdgeError",
    "InputError",
    "MissingBackendError",
    "Model",
    "__version__",
    "load",
]
