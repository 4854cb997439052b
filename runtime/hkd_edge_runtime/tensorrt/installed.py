"""Which TensorRT is installed here, on what GPU, and what it says while it works.

TensorRT-RTX has TensorRT's API and builds engines without a GPU, but for other GPUs than those of Jetson boards.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from hkd_edge_runtime.packages import installed_version, is_installed

# TensorRT before TensorRT-RTX: where both are installed, the engine is for the GPU at hand. The packages of
# TensorRT-RTX for pip name their module `tensorrt_rtx_bindings`, NVIDIA's own downloads `tensorrt_rtx`.
MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt-rtx"
# Where a module's version is kept, to be read without importing it; pip's packages are named after CUDA's version.
_DISTRIBUTIONS = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx",),
    "tensorrt_rtx_bindings": ("tensorrt_rtx_cu13_bindings", "tensorrt_rtx_cu12_bindings"),
}
CUDA_DRIVERS = ("libcuda.so.1", "nvcuda.dll")
COMPUTE_CAPABILITY_ATTRIBUTES = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR in cuda.h
NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """The first CUDA device; its compute capability as NVIDIA writes it, "8.7" for one."""

    name: str
    compute_capability: str


def find_tensorrt() -> ModuleType | None:
    """The module of TensorRT or, failing that, of TensorRT-RTX; None where neither loads."""
    return search_tensorrt()[0]


def search_tensorrt() -> tuple[ModuleType | None, dict[str, str]]:
    """The first module that loads, and by their names what those before it failed with."""
    broken: dict[str, str] = {}
    for name in MODULES:
        if is_installed(name):
            try:
                return importlib.import_module(name), broken
            except (ImportError, OSError) as error:
                broken[name] = str(error)
    return None, broken


def found_title() -> str | None:
    """Flavour and version of the TensorRT that `find_tensorrt` would try first; nothing is imported."""
    for name in MODULES:
        if is_installed(name):
            versions = (installed_version(distribution) for distribution in _DISTRIBUTIONS[name])
            return _title(name, next((version for version in versions if version), ""))
    return None


def flavour(module: ModuleType) -> str:
    """`tensorrt` or `tensorrt-rtx`."""
    return _flavour(module.__name__)


def title(module: ModuleType) -> str:
    """Flavour and version, as messages name them."""
    return _title(module.__name__, module.__version__)


def current_gpu() -> Gpu | None:
    """The GPU that TensorRT builds for unless told otherwise, by the CUDA driver; None without one."""
    cuda = _cuda_driver()
    device, name = ctypes.c_int(), ctypes.create_string_buffer(NAME_BYTES)
    version = [ctypes.c_int() for _ in COMPUTE_CAPABILITY_ATTRIBUTES]
    if cuda is None or cuda.cuInit(0) != 0 or cuda.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return None
    cuda.cuDeviceGetName(name, NAME_BYTES, device)
    for number, attribute in zip(version, COMPUTE_CAPABILITY_ATTRIBUTES, strict=True):
        cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
    return Gpu(name.value.decode(), ".".join(str(number.value) for number in version))


class Log:
    """What TensorRT said since the last `clear`: its errors and warnings, each once, in their order."""

    def __init__(self, module: Any) -> None:
        log = self

        class Logger(module.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                module.ILogger.__init__(self)  # the binding refuses objects that skipped this

            def log(self, severity: Any, message: str) -> None:
                log.add(severity, message)

        self._warning = int(module.ILogger.WARNING)
        self._messages: dict[tuple[bool, str], None] = {}
        self.logger = Logger()

    def add(self, severity: Any, message: str) -> None:
        if int(severity) <= self._warning:
            self._messages[int(severity) < self._warning, message.strip()] = None

    def clear(self) -> None:
        self._messages.clear()

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(message for is_error, message in self._messages if is_error)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(message for is_error, message in self._messages if not is_error)


@functools.cache
def log_of(module: ModuleType) -> Log:
    """The one log of this process: TensorRT keeps the first logger that it is given and ignores others."""
    return Log(module)


def _flavour(module_name: str) -> str:
    return TENSORRT_RTX if module_name.startswith(MODULES[1]) else TENSORRT


def _title(module_name: str, version: str) -> str:
    return f"{'TensorRT-RTX' if _flavour(module_name) == TENSORRT_RTX else 'TensorRT'} {version}".rstrip()


def _cuda_driver() -> Any:
    for name in CUDA_DRIVERS:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None
