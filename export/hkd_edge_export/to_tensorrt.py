"""Builds TensorRT engines from exported ONNX files, with TensorRT 10.3 to 11 or TensorRT-RTX.

Precision lives in the ONNX file alone: the network is strongly typed, so TensorRT computes each layer in the
type that the file gives it. No flag for FP16 or INT8 and no calibrator is touched; TensorRT 11 has none any more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from hkd_edge_export.engine_record import BatchProfile, EngineRecord, ParseReport
from hkd_edge_export.errors import ExportError
from hkd_edge_export.installed_tensorrt import (
    TENSORRT,
    TENSORRT_RTX,
    Log,
    builds_without_gpu,
    current_gpu,
    find_tensorrt,
    flavour,
    log_of,
    missing_reason,
    title,
    usable_title,
)
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.lint_int8 import has_quantizers
from hkd_edge_runtime.backends.base import INPUT
from hkd_edge_runtime.files import write_atomically, write_json_atomically

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
# An unsigned INT8 file parses with no more than "Defaulting to INT8 instead", and half of each activation's range
# is lost: logits then err by up to 6.2 instead of 0.48 (docs/targets.md). So warnings that name a type are errors.
TYPE_WARNING = re.compile(
    r"\b(u?int\d+|fp\d+|bf16|float\d*|half|unsigned|(data)?types?|precision|zero.point|cast(ing|s)?|subnormal)\b",
    re.IGNORECASE,
)
FINDINGS_SHOWN = 10
DEFAULT_PROFILE = BatchProfile()


def parse_onnx(onnx_path: Path) -> ParseReport:
    """What TensorRT reads in the file; nothing is built.

    Raises:
        ExportError: if no TensorRT is usable here, the file breaks the contract, or the parser refuses it or warns
            of types.
    """
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
    module = _usable_tensorrt()
    targets = _targets(module, compute_capabilities)
    parsed = _parse(module, onnx_path)
    config = _configure(module, parsed, profile, targets)
    cache = _timing_cache(module, config, timing_cache)
    plan = parsed.builder.build_serialized_network(parsed.network, config)
    if plan is None:
        raise ExportError(
            f"{onnx_path.name}: expected an engine for {', '.join(targets)} from {title(module)}, got none: "
            f"{_listed(parsed.log.errors)}. Leave out what it names, a layer or a compute capability."
        )
    _refuse_type_warnings(onnx_path, parsed.log)
    record = _write(bytes(plan), out, parsed, profile, targets)
    if cache is not None and timing_cache is not None:
        with write_atomically(timing_cache) as temporary:
            temporary.write_bytes(bytes(cache.serialize()))
    return record


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
    return " ".join(["trtexec", f"--onnx={onnx_path.name}", "--stronglyTyped", *shapes, f"--saveEngine={plan}"])


@dataclass(frozen=True, eq=False)
class _Parsed:
    """A network with those who must outlive it: the parser owns its weights."""

    report: ParseReport
    image_shape: tuple[int, ...]
    log: Log
    builder: Any
    network: Any
    parser: Any


def _parse(module: Any, onnx_path: Path) -> _Parsed:
    # The parser takes opset 99 as readily as 20, so the contract comes first.
    model = lint_onnx(onnx_path)
    data = onnx_path.read_bytes()
    log = log_of(module)
    log.clear()
    builder = module.Builder(log.logger)
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = module.OnnxParser(network, log.logger)
    if not parser.parse(data):
        findings = [_finding(parser.get_error(index)) for index in range(parser.num_errors)]
        raise ExportError(
            f"{onnx_path.name}: expected a network that {title(module)} parses, but it says: "
            f"{_listed(findings or log.errors)}. Write that layer with other operators."
        )
    _refuse_type_warnings(onnx_path, log)
    report = ParseReport(
        onnx_sha256=sha256(data).hexdigest(),
        flavour=flavour(module),
        version=module.__version__,
        precision=_precision(model),
        layers=network.num_layers,
        warnings=log.warnings,
    )
    return _Parsed(report, _image_shape(model), log, builder, network, parser)


def _configure(module: Any, parsed: _Parsed, profile: BatchProfile, targets: tuple[str, ...]) -> Any:
    config = parsed.builder.create_builder_config()
    shapes = parsed.builder.create_optimization_profile()
    shapes.set_shape(INPUT, *((batch, *parsed.image_shape) for batch in (profile.min, profile.opt, profile.max)))
    if config.add_optimization_profile(shapes) < 0:
        raise ExportError(f"{title(module)}: expected to take the batches of {profile}, got a refusal. Choose others.")
    if flavour(module) == TENSORRT_RTX:
        config.num_compute_capabilities = len(targets)
        for index, target in enumerate(targets):
            if not config.set_compute_capability(_capabilities(module)[target], index):
                raise ExportError(f"{title(module)}: refuses the compute capability {target}. Leave it out.")
    return config


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
    targets, known = wanted or DEFAULT_COMPUTE_CAPABILITIES, _capabilities(module)
    unknown = [target for target in targets if target not in known]
    if unknown:
        raise ExportError(
            f"compute_capabilities: expected some of {', '.join(known)}, which {title(module)} builds for, "
            f"got {', '.join(unknown)}. For other GPUs build with TensorRT on the board."
        )
    return targets


def _capabilities(module: Any) -> dict[str, Any]:
    """TensorRT-RTX's compute capabilities by their number: SM86 is "8.6"."""
    members = module.ComputeCapability.__members__
    return {f"{name[2:-1]}.{name[-1]}": value for name, value in members.items() if name.startswith("SM")}


def _timing_cache(module: Any, config: Any, path: Path | None) -> Any:
    # TensorRT-RTX has these methods too, but they do nothing and warn of it.
    if path is None or flavour(module) == TENSORRT_RTX:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    # A cache of another version or GPU is refused; then a new one takes its place.
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _write(data: bytes, out: Path, parsed: _Parsed, profile: BatchProfile, targets: tuple[str, ...]) -> EngineRecord:
    report, gpu = parsed.report, current_gpu()
    record = EngineRecord(
        plan=out,
        plan_sha256=sha256(data).hexdigest(),
        size_bytes=len(data),
        onnx_sha256=report.onnx_sha256,
        flavour=report.flavour,
        version=report.version,
        gpu=gpu.name if gpu is not None and report.flavour == TENSORRT else None,
        compute_capabilities=targets,
        precision=report.precision,
        profile=profile,
        warnings=parsed.log.warnings,
    )
    with write_atomically(out) as temporary:
        temporary.write_bytes(data)
    write_json_atomically(record.sidecar, record.to_json())
    return record


def _refuse_type_warnings(onnx_path: Path, log: Log) -> None:
    findings = [warning for warning in log.warnings if TYPE_WARNING.search(warning)]
    if findings:
        raise ExportError(
            f"{onnx_path.name}: expected a file that TensorRT takes in its own types, but it warns: "
            f"{_listed(findings)} For INT8, give the file that to_signed writes."
        )


def _finding(error: Any) -> str:
    where = f"node {error.node_name()!r} ({error.node_operator()}): " if error.node_name() else ""
    code = getattr(error.code(), "name", error.code())
    return f"{where}{code}: {error.desc()}"


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


def _listed(findings: list[str] | tuple[str, ...]) -> str:
    shown = [" ".join(finding.split()) for finding in findings[:FINDINGS_SHOWN]]
    rest = len(findings) - len(shown)
    return "; ".join([*shown, f"and {rest} more"] if rest else shown)
