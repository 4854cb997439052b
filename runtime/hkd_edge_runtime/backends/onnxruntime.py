"""ONNX Runtime on the CPU."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from hkd_edge_runtime.backends.base import (
    INPUT,
    OUTPUTS,
    Backend,
    Bound,
    Outputs,
    check_contract,
    check_input_shape,
    outputs_of,
)
from hkd_edge_runtime.errors import BundleError, MissingBackendError
from hkd_edge_runtime.packages import import_package, installed_version
from hkd_edge_runtime.telemetry import block_telemetry

if TYPE_CHECKING:
    import numpy.typing as npt

# Dies with SIGILL on Cortex-A72 (Raspberry Pi 4), where no error could be shown any more.
BROKEN_ON_AARCH64 = "1.21.0"
LOG_ERRORS_ONLY = 3


class OnnxRuntimeBackend(Backend):
    """Runs .onnx files; `threads` is the number inside one operator, operators run one after the other.

    Without `optimised`, nodes compute one by one as the file says, quantized ones by floats between the quantizers:
    slow, but the same numbers on every processor.
    """

    name = "onnxruntime"
    package = "onnxruntime"
    requirement = f"onnxruntime!={BROKEN_ON_AARCH64}"

    def __init__(self, *, optimised: bool = True) -> None:
        super().__init__()
        self._optimised = optimised
        self._session: Any = None
        self._names: list[str] = []

    def version(self) -> str:
        """The version of ONNX Runtime."""
        return str(self._import().__version__)

    def _open(self, path: Path, threads: int) -> tuple[int, int, int]:
        session = self._make_session(path, threads)
        inputs = {each.name: _numpy_name(each.type) for each in session.get_inputs()}
        names = [each.name for each in session.get_outputs()]
        check_contract(path, inputs, set(names))
        # ONNX Runtime names a symbolic size by a text, or by None.
        sizes = [size if isinstance(size, int) else None for size in session.get_inputs()[0].shape]
        shape = check_input_shape(path, sizes)
        self._session = session
        self._names = [name for name in OUTPUTS if name in names]
        return shape

    def _run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        return outputs_of(self._session.run(self._names, {INPUT: images}))

    def _bind(self, shape: tuple[int, int, int]) -> Bound:
        # The sizes of the outputs may be symbolic in the file; a blank image tells them.
        logits, _, concepts = self._run(np.zeros((1, *shape), np.uint8))
        bound = Bound(shape, logits.shape[1], concepts.shape[1])
        binding = self._session.io_binding()
        binding.bind_input(INPUT, "cpu", 0, np.uint8, bound.images.shape, bound.images.ctypes.data)
        for name in self._names:
            array = bound.outputs[name]
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        bound.infer = _direct_run(self._session, binding)
        return bound

    def _close(self) -> None:
        self._session = None

    def _make_session(self, path: Path, threads: int) -> Any:
        ort = self._import()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = LOG_ERRORS_ONLY
        if not self._optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        state = ort.capi.onnxruntime_pybind11_state
        # Its exceptions share no base class but Exception.
        refusals = (
            state.Fail,
            state.InvalidArgument,
            state.InvalidGraph,
            state.InvalidProtobuf,
            state.NoSuchFile,
            state.NotImplemented,
            state.RuntimeException,
        )
        try:
            return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except refusals as error:
            raise BundleError(
                f"{path.name}: expected a model for ONNX Runtime {ort.__version__}, which refuses it: "
                f"{' '.join(str(error).split())}. Export it again, or install a newer onnxruntime."
            ) from error

    def _import(self) -> ModuleType:
        if platform.machine() == "aarch64" and installed_version("onnxruntime") == BROKEN_ON_AARCH64:
            raise MissingBackendError(
                f"expected another onnxruntime than {BROKEN_ON_AARCH64}, which crashes on some 64-bit ARM "
                f'boards. Run: pip install "{self.requirement}"'
            )
        block_telemetry()
        ort = import_package(self.package, self.requirement)
        ort.disable_telemetry_events()
        # Beside each session's log there is a global one, which warns about boards without a known GPU.
        ort.set_default_logger_severity(LOG_ERRORS_ONLY)
        return ort


def _direct_run(session: Any, binding: Any) -> Callable[[], object]:
    """`session.run_with_iobinding(binding)` without its part in Python, where this onnxruntime is built like that.

    That part is for other devices than the CPU, and takes 3 to 4 us of a call of 120 us.
    """
    inner, inner_binding = getattr(session, "_sess", None), getattr(binding, "_iobinding", None)
    if inner is None or inner_binding is None or not hasattr(inner, "run_with_iobinding"):
        return partial(session.run_with_iobinding, binding)
    return partial(inner.run_with_iobinding, inner_binding, None)


def _numpy_name(onnx_type: str) -> str:
    return onnx_type.removeprefix("tensor(").removesuffix(")")
