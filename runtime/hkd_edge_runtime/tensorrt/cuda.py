"""The few calls of the CUDA runtime that running an engine needs, through NVIDIA's `cuda-bindings`."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime.errors import DeviceError, HkdEdgeError
from hkd_edge_runtime.packages import import_package

MODULE = "cuda.bindings.runtime"
# Python 3.10 is that of JetPack 6, whose driver is too old for the bindings of CUDA 13.
REQUIREMENT = "cuda-bindings>=12.6,<13" if sys.version_info < (3, 11) else "cuda-bindings>=12.6"


class CudaRuntime:
    """Memory, one stream's work and graphs on the first CUDA device; addresses are numbers, streams and graphs opaque.

    Raises:
        MissingBackendError: if cuda-bindings is not installed.

    Every method raises DeviceError, with CUDA's own words, if its call fails.
    """

    def __init__(self) -> None:
        self._cuda: Any = import_package(MODULE, REQUIREMENT)
        self._to_device = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._to_host = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        # Other threads of the program may allocate while this one captures.
        self._capture_mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal

    def use_first_device(self) -> None:
        """Makes device 0, the one that `current_gpu` tells of, this thread's."""
        self._check(self._cuda.cudaSetDevice(0))

    def allocate(self, size_bytes: int) -> int:
        """The address of new device memory, aligned to 256 bytes."""
        return int(self._check(self._cuda.cudaMalloc(size_bytes)))

    def free(self, address: int) -> None:
        self._check(self._cuda.cudaFree(address))

    def allocate_host(self, size_bytes: int) -> int:
        """The address of new page-locked memory of the host, from which copies run at full speed."""
        return int(self._check(self._cuda.cudaMallocHost(size_bytes)))

    def free_host(self, address: int) -> None:
        self._check(self._cuda.cudaFreeHost(address))

    def host_array(self, address: int, size_bytes: int) -> npt.NDArray[np.uint8]:
        """Host memory as an array (size_bytes,) that shares it; no longer valid once it is freed."""
        return np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address))

    def create_stream(self) -> Any:
        """A new stream that does not wait for the default stream; `int()` of it is its handle."""
        return self._check(self._cuda.cudaStreamCreateWithFlags(self._cuda.cudaStreamNonBlocking))

    def destroy_stream(self, stream: Any) -> None:
        self._check(self._cuda.cudaStreamDestroy(stream))

    def copy_to_device(self, device: int, host: int, size_bytes: int, stream: Any) -> None:
        self._check(self._cuda.cudaMemcpyAsync(device, host, size_bytes, self._to_device, stream))

    def copy_to_host(self, host: int, device: int, size_bytes: int, stream: Any) -> None:
        self._check(self._cuda.cudaMemcpyAsync(host, device, size_bytes, self._to_host, stream))

    def synchronize(self, stream: Any) -> None:
        """Waits until the work on the stream is done."""
        self._check(self._cuda.cudaStreamSynchronize(stream))

    def begin_capture(self, stream: Any) -> None:
        """From now on the stream records its work instead of doing it."""
        self._check(self._cuda.cudaStreamBeginCapture(stream, self._capture_mode))

    def end_capture(self, stream: Any) -> Any:
        """The graph of what was recorded, ready to be launched."""
        recorded = self._check(self._cuda.cudaStreamEndCapture(stream))
        try:
            return self._check(self._cuda.cudaGraphInstantiate(recorded, 0))
        finally:
            self._check(self._cuda.cudaGraphDestroy(recorded))

    def launch(self, graph: Any, stream: Any) -> None:
        self._check(self._cuda.cudaGraphLaunch(graph, stream))

    def destroy_graph(self, graph: Any) -> None:
        self._check(self._cuda.cudaGraphExecDestroy(graph))

    def _check(self, result: tuple[Any, ...]) -> Any:
        status, *values = result
        if int(status) != 0:
            raise self._error(status)
        return values[0] if values else None

    def _error(self, status: Any) -> HkdEdgeError:
        _, text = self._cuda.cudaGetErrorString(status)
        return DeviceError(
            f"expected the GPU to do its work, but CUDA says: {text.decode()} ({status.name}). Free memory on it, "
            "check that the driver fits cuda-bindings, or take another target."
        )
