"""The machine that measures, as a validation records it."""

from __future__ import annotations

from collections.abc import Sequence

from hkd_edge.evaluate.artefacts import runs_here
from hkd_edge.evaluate.result import Machine
from hkd_edge_runtime.backends import backend_class
from hkd_edge_runtime.board import cpu_flags, read_board

# How the backends of hkd_edge_runtime open files.
_PRECISION_HINTS = {
    "onnxruntime": "none: the file decides",
    "openvino": "INFERENCE_PRECISION_HINT f32",
    "tensorrt": "none: the file is strongly typed",
}


def this_machine(targets: Sequence[str], threads: int) -> Machine:
    """The facts of this machine that figures for `targets`, with so many threads, depend on."""
    board, here = read_board(), dict.fromkeys(target for target in targets if runs_here(target))
    return Machine(
        facts=board.facts,
        cores=board.usable_cores,
        cpu_flags=cpu_flags(),
        runtimes={target: backend_class(target)().version() for target in here},
        precision_hints={target: _PRECISION_HINTS[target] for target in here},
        threads=threads,
    )
