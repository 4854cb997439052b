"""From an ONNX file to an engine for the GPU at hand: out of the cache, or built for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from hkd_edge_runtime.backends.base import (
    OUTPUTS,
    check_contract,
    check_input_shape,
)
from hkd_edge_runtime.errors import BundleError, DeviceError
from hkd_edge_runtime.tensorrt.build import SETTINGS, ParsedNetwork, build_plan, parse_network, write_engine
from hkd_edge_runtime.tensorrt.cache import EngineKey, cached_engine
from hkd_edge_runtime.tensorrt.installed import TENSORRT, Gpu, flavour, log_of, title
from hkd_edge_runtime.tensorrt.progress import Tell
from hkd_edge_runtime.tensorrt.record import BatchProfile


@dataclass(frozen=True)
class EngineRequest:
    """An engine that is wanted: for the ONNX file `path`, of that precision, on that GPU, for those batches."""

    path: Path
    precision: str
    gpu: Gpu
    profile: BatchProfile


@dataclass(frozen=True)
class EngineShapes:
    """What an engine takes and gives.

    Attributes:
        image: (H, W, C).
        widths: the columns of each output by its name, in the order of `Outputs`.
    """

    image: tuple[int, int, int]
    widths: dict[str, int]


def open_engine(module: ModuleType, request: EngineRequest, folder: Path, tell: Tell) -> Any:
    """TensorRT's engine for `request`, from the cache in `folder`; `tell` is given lines about a build.

    Raises:
        BundleError: if TensorRT cannot read or build the file.
        DeviceError: if TensorRT refuses the engine that it has just built.
    """
    try:
        data = request.path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{request.path.name}: expected a model for {title(module)}, which refuses it: {error.strerror}. "
            "Copy the bundle again."
        ) from error
    key = EngineKey(
        onnx_sha256=sha256(data).hexdigest(),
        flavour=flavour(module),
        version=module.__version__,
        gpu=request.gpu,
        precision=request.precision,
        profile=request.profile,
        settings=SETTINGS,
    )
    engine = cached_engine(folder, key, _Maker(module, request, data, tell), tell)
    if engine is None:
        said = "; ".join(log_of(module).errors) or "no reason given"
        raise DeviceError(
            f"{request.path.name}: expected {title(module)} to open the engine that it has just built for "
            f"{request.gpu.name} ({request.gpu.compute_capability}), but it says: {said}. Take another target here."
        )
    return engine


def engine_shapes(engine: Any, module: Any, path: Path) -> EngineShapes:
    """The sizes of an engine's tensors, if it keeps the contract (uint8 NHWC in, `Outputs` out).

    Raises:
        BundleError: naming what it has instead.
    """
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == module.TensorIOMode.INPUT]
    outputs = [name for name in names if name not in inputs]
    check_contract(path, {name: engine.get_tensor_dtype(name).name.lower() for name in inputs}, set(outputs))
    sizes = [None if size < 0 else int(size) for size in engine.get_tensor_shape(inputs[0])]
    ordered = [name for name in OUTPUTS if name in outputs]
    wrong = {name: engine.get_tensor_dtype(name).name for name in ordered if not _is_float(engine, module, name)}
    if wrong:
        raise BundleError(f"{path.name}: expected outputs of float32, got {wrong}. Export it again.")
    return EngineShapes(
        check_input_shape(path, sizes), {name: int(engine.get_tensor_shape(name)[1]) for name in ordered}
    )


class _Maker:
    """Builds, writes and opens one engine; see `cache.EngineMaker`."""

    def __init__(self, module: ModuleType, request: EngineRequest, data: bytes, tell: Tell) -> None:
        self._module, self._request, self._data, self._tell = module, request, data, tell
        self._parsed: ParsedNetwork | None = None

    def build(self) -> bytes:
        wanted, name = self._request, self._request.path.name
        self._tell(f"{name}: building an engine for {wanted.gpu.name}; this can take minutes, but is done only once")
        started = time.monotonic()
        self._parsed = parse_network(self._module, wanted.path, self._data, wanted.precision)
        plan = build_plan(self._parsed, wanted.profile, (wanted.gpu.compute_capability,), tell=self._tell)
        self._tell(f"{name}: built in {time.monotonic() - started:.1f} s")
        return plan

    def write(self, plan: bytes, out: Path) -> None:
        assert self._parsed is not None
        gpu = self._request.gpu.name if flavour(self._module) == TENSORRT else None
        write_engine(plan, out, self._parsed, self._request.profile, (self._request.gpu.compute_capability,), gpu)

    def deserialize(self, plan: bytes) -> Any:
        return self._module.Runtime(log_of(self._module).logger).deserialize_cuda_engine(plan)


def _is_float(engine: Any, module: Any, name: str) -> bool:
    return bool(engine.get_tensor_dtype(name) == module.DataType.FLOAT)
