"""The error of this package; the root of the tree is `hkd_edge_runtime.errors.HkdEdgeError`."""

from __future__ import annotations

from hkd_edge_runtime.errors import HkdEdgeError


class ExportError(HkdEdgeError):
    """A network could not be exported, or a file breaks the contract; the message lists every finding."""

    exit_code = 8
