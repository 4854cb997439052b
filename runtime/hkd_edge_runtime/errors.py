"""The errors that a user can meet, as one tree; each leaf carries the exit code of the command line.

    HkdEdgeError                 1
    ├── BundleError             10   the bundle is damaged, unknown, or does not hold what was asked for
    ├── MissingBackendError     11   a package that this machine lacks; the message names the pip command
    ├── DeviceError             15   the GPU, or its runtime, failed
    ├── InputError              12   the image or array given to predict
    ├── KeyFileError            14   a key to sign or to check signatures with; the bundle is not at fault
    ├── ClosedModelError         1   a model was used after close() (also a RuntimeError)
    └── BusyModelError           1   two threads used one model at once (also a RuntimeError)

`hkd_edge_export` and `hkd_edge` add their own leaves. Every message says what was expected, what arrived and
what to do, in that order, on one line.
"""

from __future__ import annotations

from collections.abc import Iterable


class HkdEdgeError(Exception):
    """An error with a message for the user; a command line prints it without a traceback."""

    exit_code = 1


class BundleError(HkdEdgeError):
    """The bundle is damaged, of an unknown version, or does not hold what was asked for."""

    exit_code = 10


class MissingBackendError(HkdEdgeError):
    """A package that the request needs is not installed here."""

    exit_code = 11


class DeviceError(HkdEdgeError):
    """The GPU or its runtime failed: no memory left, a driver that is too old, an engine that does not open."""

    exit_code = 15


class InputError(HkdEdgeError):
    """The image or array does not fit the model."""

    exit_code = 12


class KeyFileError(HkdEdgeError):
    """A key file is missing, holds another kind of key, or would be overwritten."""

    exit_code = 14


class ClosedModelError(HkdEdgeError, RuntimeError):
    """The model was closed before it was used."""


class BusyModelError(HkdEdgeError, RuntimeError):
    """A thread used a model, or closed it, while another was inside it."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """The sentence that proposes the nearest of `choices`, with a leading space; empty when none is near.

    >>> did_you_mean("onnxruntme", ["onnxruntime", "openvino"])
    " Did you mean 'onnxruntime'?"
    """
    import difflib  # 3 ms of the import, for a misspelt name

    nearest = difflib.get_close_matches(name, list(choices), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
