"""Every error a user can meet, as one tree over the three packages; the number is the command's exit code.

    HkdEdgeError               1  hkd_edge_runtime what all the others are
    ├── BundleError            10  hkd_edge_runtime a bundle is damaged, unknown, or lacks what was asked
    ├── MissingBackendError    11  hkd_edge_runtime a runtime that this machine lacks; names its pip command
    ├── DeviceError            15  hkd_edge_runtime the GPU of the board, or its runtime, failed
    ├── InputError             12  hkd_edge_runtime the image or array given to `predict` does not fit
    ├── KeyFileError           14  hkd_edge_runtime a key to sign or to check signatures with
    ├── ClosedModelError        1  hkd_edge_runtime a model was used after `close()`; also a RuntimeError
    ├── ExportError             8  hkd_edge_export  a model cannot be exported, or breaks the ONNX contract
    ├── RecipeError             3  hkd_edge         a recipe is missing, unreadable or wrong
    ├── HierarchyError          4  hkd_edge         a hierarchy of concepts is missing, unreadable or wrong
    ├── DataError               5  hkd_edge         a data set is missing, damaged or too small
    ├── RunDirectoryError       6  hkd_edge         a run directory is unusable, or holds another recipe's run
    ├── TrainingError           7  hkd_edge         a training cannot go on
    ├── GateError               9  hkd_edge         a gate of the validation failed, or nothing was compared
    ├── MissingDependencyError 11  hkd_edge         a package that is not installed; names its pip command
    ├── BoardError             13  hkd_edge         a board cannot be reached, or a step on it failed
    └── ProcessLostError       16  hkd_edge         one of the processes that train together has ended

A wrong command line ends with 2 (Click's usage errors), an interrupt with 130. A traceback is our bug.
A message says what was expected, what arrived and what to do, in that order.
"""

from __future__ import annotations

from hkd_edge_runtime.errors import HkdEdgeError

__all__ = [
    "BoardError",
    "DataError",
    "GateError",
    "HierarchyError",
    "HkdEdgeError",
    "MissingDependencyError",
    "ProcessLostError",
    "RecipeError",
    "RunDirectoryError",
    "TrainingError",
]


class RecipeError(HkdEdgeError):
    """A recipe is missing, unreadable or wrong: one line for each problem, with its place and dotted path."""

    exit_code = 3


class HierarchyError(HkdEdgeError):
    """A hierarchy of concepts is missing, unreadable or wrong: one line for each problem, with its place."""

    exit_code = 4


class DataError(HkdEdgeError):
    """A data set is missing, damaged or too small for what the recipe asks."""

    exit_code = 5


class RunDirectoryError(HkdEdgeError):
    """A run directory cannot be used, or holds the run of another recipe."""

    exit_code = 6


class TrainingError(HkdEdgeError):
    """A training cannot go on, for instance because its loss is no longer a finite number."""

    exit_code = 7


class GateError(HkdEdgeError):
    """A gate of the validation failed: what was expected and what was measured, a line for each."""

    exit_code = 9


class MissingDependencyError(HkdEdgeError):
    """An optional dependency is not installed; the message names its pip command."""

    exit_code = 11


class BoardError(HkdEdgeError):
    """A board cannot be reached, does not suit, or a step on it failed; with what it said last."""

    exit_code = 13


class ProcessLostError(HkdEdgeError):
    """One of the processes that train together has ended before the others."""

    exit_code = 16
