"""Builds TensorRT engines from exported ONNX files on the workstation, with the code that the board builds with.

What is added here: the contract's whole check, engines for GPUs that are elsewhere (by TensorRT-RTX), and the command
that builds on a board.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.lint_int8 import has_quantizers
from hkd_edge_runtime.backends.base import INPUT
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.tensorrt.build import (
    ParsedNetwork,
    build_plan,
    known_compute_capabilities,
    parse_network,
    write_engine,
)
from hkd_edge_runtime.tensorrt.installed import (
    MODULES,
    TENSORRT,
    TENSORRT_RTX,
    current_gpu,
    find_tensorrt,
    flavour,
    search_tensorrt,
    title,
)
from hkd_edge_runtime.tensorrt.record import BatchProfile, EngineRecord, ParseReport

__all__ = [
    "BatchProfile",
    "EngineRecord",
    "ParseReport",
    "build_engine",
    "builds_without_gpu",
    "find_tensorrt",
    "missing_reason",
    "parse_onnx",
    "trtexec_command",
    "usable_title",
]

# What TensorRT-RTX builds for unless told otherwise. Not 7.5, for which it refuses fp32 matrix products.
DEFAULT_COMPUTE_CAPABILITIES = ("8.0", "8.6", "8.9", "12.0")
DEFAULT_PROFILE = BatchProfile()


def missing_reason() -> str | None:
    """Why no engine can be built here and what remains to be done on the board; None where one can be."""
    module, broken = search_tensorrt()
    on_the_board = (
        "The board builds its own at first use, from the same ONNX file in the bundle, with the TensorRT that JetPack "
        "brings; `trtexec_command` writes the command that builds one by hand."
    )
    if module is None:
        found = "; ".join(f"{name} does not load: {error}" for name, error in broken.items()) or "found neither"
        return (
            f"expected TensorRT (module {MODULES[0]}) or TensorRT-RTX (module {MODULES[1]}), {found}. "
            f'To parse and build here without a GPU, run: pip install "hkd-edge[trt-rtx]". {on_the_board}'
        )
    if flavour(module) == TENSORRT and current_gpu() is None:
        return (
            f"expected a GPU for TensorRT {module.__version__}, which builds only for the GPU that it runs on, "
            f"found none. {on_the_board}"
        )
    return None


def builds_without_gpu() -> bool:
    """Whether the TensorRT found here is TensorRT-RTX."""
    module = find_tensorrt()
    return module is not None and flavour(module) == TENSORRT_RTX


def usable_title() -> str | None:
    """The title of the TensorRT that can build here; None where none can."""
    module = find_tensorrt()
    return title(module) if module is not None and missing_reason() is None else None


def parse_onnx(onnx_path: Path) -> ParseReport:
    """What TensorRT reads in the file; nothing is built.

    Raises:
        ExportError: if no TensorRT is usable here, the file breaks the contract, or the parser refuses it or warns
            of types.
    """
    with _refusals_are_of_the_export():
        return _parse(_usable_tensorrt(), onnx_path).report


def build_engine(
    onnx_path: Path,
    out: Path,
    profile: BatchProfile = DEFAULT_PROFILE,
    compute_capabilities: tuple[str, ...] = (),
    *,
    timing_cache: Path | None = None,
) -> EngineRecord:
    """Writes the engine `out` and, beside it, its record as `<out>.json`.

    TensorRT builds for the GPU at hand; TensorRT-RTX, without one, for the `compute_capabilities` (by default
    DEFAULT_COMPUTE_CAPABILITIES). An engine is for those and for that version only. Two builds differ in bytes.

    `timing_cache` makes later builds of TensorRT faster; it is read if it is there, and written. TensorRT-RTX has
    none and leaves the file alone.

    Raises:
        ExportError: as `parse_onnx`, for a compute capability that TensorRT does not build for, or where the
            builder fails. Existing files then stay as they were.
    """
    module, gpu = _usable_tensorrt(), current_gpu()
    targets = _targets(module, compute_capabilities)
    with _refusals_are_of_the_export():
        parsed = _parse(module, onnx_path)
        plan = build_plan(parsed, profile, targets, timing_cache=timing_cache)
    gpu_name = gpu.name if gpu is not None and flavour(module) == TENSORRT else None
    return write_engine(plan, out, parsed, profile, targets, gpu_name)


def trtexec_command(onnx_path: Path, profile: BatchProfile = DEFAULT_PROFILE) -> str:
    """The command that builds the same engine on a board; trtexec comes with its TensorRT.

    Raises:
        ExportError: if the file breaks the contract.
    """
    sizes = "x".join(map(str, _image_shape(lint_onnx(onnx_path))))
    shapes = [
        f"--{bound}Shapes={INPUT}:{batch}x{sizes}"
        for bound, batch in (("min", profile.min), ("opt", profile.opt), ("max", profile.max))
    ]
    plan = onnx_path.with_suffix(".plan").name
    options = ["--stronglyTyped", "--noTF32"]
    return " ".join(["trtexec", f"--onnx={onnx_path.name}", *options, *shapes, f"--saveEngine={plan}"])


def _parse(module: Any, onnx_path: Path) -> ParsedNetwork:
    # The parser takes opset 99 as readily as 20, so the contract comes first.
    model = lint_onnx(onnx_path)
    return parse_network(module, onnx_path, onnx_path.read_bytes(), _precision(model))


@contextmanager
def _refusals_are_of_the_export() -> Iterator[None]:
    """What the board would call a bad bundle is a bad export here."""
    try:
        yield
    except BundleError as error:
        raise ExportError(str(error)) from error


def _targets(module: Any, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The compute capabilities that the engine is for."""
    if flavour(module) == TENSORRT:
        gpu = current_gpu()
        here = (gpu.compute_capability,) if gpu is not None else ()
        if wanted not in ((), here):
            raise ExportError(
                f"compute_capabilities: expected none, as {title(module)} builds for the GPU at hand "
                f"({', '.join(here)}), got {', '.join(wanted)}. Build on a GPU of that kind, or with TensorRT-RTX."
            )
        return here
    targets, known = wanted or DEFAULT_COMPUTE_CAPABILITIES, known_compute_capabilities(module)
    unknown = [target for target in targets if target not in known]
    if unknown:
        raise ExportError(
            f"compute_capabilities: expected some of {', '.join(known)}, which {title(module)} builds for, "
            f"got {', '.join(unknown)}. For other GPUs build with TensorRT on the board."
        )
    return targets


def _precision(model: onnx.ModelProto) -> str:
    if has_quantizers(model):
        return "int8"
    halved = any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)
    return "fp16" if halved else "fp32"


def _image_shape(model: onnx.ModelProto) -> tuple[int, ...]:
    (images,) = (value for value in model.graph.input if value.name == INPUT)
    return tuple(size.dim_value for size in images.type.tensor_type.shape.dim[1:])


def _usable_tensorrt() -> Any:
    reason = missing_reason()
    if reason is not None:
        raise ExportError(f"TensorRT: {reason}")
    return find_tensorrt()
