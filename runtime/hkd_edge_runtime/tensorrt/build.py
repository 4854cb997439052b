"""Parses ONNX files and builds engines, with TensorRT 10.3 to 11 or TensorRT-RTX; on the board and on the workstation.

Precision lives in the ONNX file alone: the network is strongly typed, so TensorRT computes each layer in the
type that the file gives it. No flag for FP16 or INT8 and no calibrator is touched; TensorRT 11 has none any more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hkd_edge_runtime.backends.base import INPUT, check_contract, check_input_shape
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.files import write_atomically, write_json_atomically
from hkd_edge_runtime.tensorrt.installed import TENSORRT_RTX, Log, flavour, log_of, title
from hkd_edge_runtime.tensorrt.progress import Tell, build_monitor
from hkd_edge_runtime.tensorrt.record import BatchProfile, EngineRecord, ParseReport

# Part of the key of cached engines: count up when `_configure` changes what is built from the same file.
SETTINGS = 1
# An unsigned INT8 file parses with no more than "Defaulting to INT8 instead", and half of each activation's range
# is lost: logits then err by up to 6.2 instead of 0.48 (docs/targets.md). So warnings that name a type are errors.
TYPE_WARNING = re.compile(
    r"\b(u?int\d+|fp\d+|bf16|float\d*|half|unsigned|(data)?types?|precision|zero.point|cast(ing|s)?|subnormal)\b",
    re.IGNORECASE,
)
FINDINGS_SHOWN = 10


@dataclass(frozen=True, eq=False)
class ParsedNetwork:
    """A network with those who must outlive it: the parser owns its weights.

    Attributes:
        image_shape: (H, W, C) of its input.
    """

    path: Path
    module: Any
    report: ParseReport
    image_shape: tuple[int, int, int]
    log: Log
    builder: Any
    network: Any
    parser: Any


def parse_network(module: Any, onnx_path: Path, data: bytes, precision: str) -> ParsedNetwork:
    """The network in `data`, the content of `onnx_path`, which is said to be of `precision`.

    Raises:
        BundleError: if the parser refuses the file or warns of types, or the network breaks the contract (uint8
            NHWC in, `Outputs` out).
    """
    log = log_of(module)
    log.clear()
    builder = module.Builder(log.logger)
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = module.OnnxParser(network, log.logger)
    if not parser.parse(data):
        findings = [_finding(parser.get_error(index)) for index in range(parser.num_errors)]
        raise BundleError(
            f"{onnx_path.name}: expected a network that {title(module)} parses, but it says: "
            f"{_listed(findings or log.errors)}. Write that layer with other operators."
        )
    _refuse_type_warnings(onnx_path, log)
    report = ParseReport(
        onnx_sha256=sha256(data).hexdigest(),
        flavour=flavour(module),
        version=module.__version__,
        precision=precision,
        layers=network.num_layers,
        warnings=log.warnings,
    )
    return ParsedNetwork(onnx_path, module, report, _image_shape(onnx_path, network), log, builder, network, parser)


def build_plan(
    parsed: ParsedNetwork,
    profile: BatchProfile,
    targets: tuple[str, ...],
    *,
    timing_cache: Path | None = None,
    tell: Tell | None = None,
) -> bytes:
    """The serialized engine for the GPUs of the compute capabilities `targets`.

    `tell` is given a line about the progress every few seconds. `timing_cache` makes later builds of TensorRT
    faster; it is read if it is there, and written. TensorRT-RTX has none and leaves the file alone.

    Raises:
        BundleError: where the builder fails, warns of types, or knows no such profile or compute capability.
        KeyboardInterrupt: after Ctrl-C.
    """
    module = parsed.module
    config = _configure(parsed, profile, targets)
    cache = _timing_cache(module, config, timing_cache)
    with build_monitor(module, config, tell):
        plan = parsed.builder.build_serialized_network(parsed.network, config)
    if plan is None:
        raise BundleError(
            f"{parsed.path.name}: expected an engine for {', '.join(targets)} from {title(module)}, got none: "
            f"{_listed(parsed.log.errors)}. Leave out what it names, a layer or a compute capability."
        )
    _refuse_type_warnings(parsed.path, parsed.log)
    if cache is not None and timing_cache is not None:
        with write_atomically(timing_cache) as temporary:
            temporary.write_bytes(bytes(cache.serialize()))
    return bytes(plan)


def write_engine(
    data: bytes, out: Path, parsed: ParsedNetwork, profile: BatchProfile, targets: tuple[str, ...], gpu: str | None
) -> EngineRecord:
    """Writes the plain plan `out` and, beside it, its record as `<out>.json`; the record is returned.

    Raises:
        OSError: where they cannot be written.
    """
    report = parsed.report
    record = EngineRecord(
        plan=out,
        plan_sha256=sha256(data).hexdigest(),
        size_bytes=len(data),
        onnx_sha256=report.onnx_sha256,
        flavour=report.flavour,
        version=report.version,
        gpu=gpu,
        compute_capabilities=targets,
        precision=report.precision,
        profile=profile,
        warnings=parsed.log.warnings,
    )
    with write_atomically(out) as temporary:
        temporary.write_bytes(data)
    write_json_atomically(record.sidecar, record.to_json())
    return record


def known_compute_capabilities(module: Any) -> dict[str, Any]:
    """TensorRT-RTX's compute capabilities by their number: SM86 is "8.6"."""
    members = module.ComputeCapability.__members__
    return {f"{name[2:-1]}.{name[-1]}": value for name, value in members.items() if name.startswith("SM")}


def _configure(parsed: ParsedNetwork, profile: BatchProfile, targets: tuple[str, ...]) -> Any:
    module = parsed.module
    config = parsed.builder.create_builder_config()
    # On by default, it gives the products of fp32 the 10 bits of mantissa that fp16 has: not what the file says.
    config.clear_flag(module.BuilderFlag.TF32)
    shapes = parsed.builder.create_optimization_profile()
    shapes.set_shape(INPUT, *((batch, *parsed.image_shape) for batch in (profile.min, profile.opt, profile.max)))
    if config.add_optimization_profile(shapes) < 0:
        raise BundleError(f"{title(module)}: expected to take the batches of {profile}, got a refusal. Choose others.")
    if flavour(module) == TENSORRT_RTX:
        known = known_compute_capabilities(module)
        config.num_compute_capabilities = len(targets)
        for index, target in enumerate(targets):
            if target not in known or not config.set_compute_capability(known[target], index):
                raise BundleError(
                    f"{title(module)}: expected a compute capability out of {', '.join(known)}, got {target}. "
                    "Take TensorRT instead of TensorRT-RTX for other GPUs."
                )
    return config


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


def _image_shape(path: Path, network: Any) -> tuple[int, int, int]:
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index).name for index in range(network.num_outputs)]
    check_contract(path, {each.name: each.dtype.name.lower() for each in inputs}, set(outputs))
    return check_input_shape(path, [None if size < 0 else size for size in inputs[0].shape])


def _refuse_type_warnings(onnx_path: Path, log: Log) -> None:
    findings = [warning for warning in log.warnings if TYPE_WARNING.search(warning)]
    if findings:
        raise BundleError(
            f"{onnx_path.name}: expected a file that TensorRT takes in its own types, but it warns: "
            f"{_listed(findings)} For INT8, give the file that to_signed writes."
        )


def _finding(error: Any) -> str:
    where = f"node {error.node_name()!r} ({error.node_operator()}): " if error.node_name() else ""
    code = getattr(error.code(), "name", error.code())
    return f"{where}{code}: {error.desc()}"


def _listed(findings: list[str] | tuple[str, ...]) -> str:
    shown = [" ".join(finding.split()) for finding in findings[:FINDINGS_SHOWN]]
    rest = len(findings) - len(shown)
    return "; ".join([*shown, f"and {rest} more"] if rest else shown)
