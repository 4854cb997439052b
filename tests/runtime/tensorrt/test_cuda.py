"""The thin layer over NVIDIA's cuda-bindings: on a stand-in, and on the real package where it is installed."""

from __future__ import annotations

import ast
import inspect
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hkd_edge_runtime.errors import DeviceError, MissingBackendError
from hkd_edge_runtime.tensorrt import cuda as cuda_module
from hkd_edge_runtime.tensorrt.cuda import CudaRuntime
from hkd_edge_runtime.tensorrt.installed import current_gpu


class Status(int):
    name = "cudaErrorMemoryAllocation"


class FakeBindings(ModuleType):
    """Every function succeeds with an answer of its own, but those in `failing`; calls are kept."""

    def __init__(self) -> None:
        super().__init__("cuda.bindings.runtime")
        self.calls: list[tuple[Any, ...]] = []
        self.failing: set[str] = set()
        self.cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="to device", cudaMemcpyDeviceToHost="to host")
        self.cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread local")
        self.cudaStreamNonBlocking = 1

    def cudaGetErrorString(self, status: Status) -> tuple[int, bytes]:
        return 0, b"out of memory"

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append((name, *arguments))
            if name in self.failing:
                return (Status(2), None)
            answers = {"cudaMalloc": 512, "cudaMallocHost": 1024, "cudaStreamEndCapture": "recorded"}
            return (Status(0), answers.get(name, name))

        return call


@pytest.fixture
def bindings(monkeypatch: pytest.MonkeyPatch) -> FakeBindings:
    made = FakeBindings()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", made)
    return made


def test_copies_say_their_direction_and_size(bindings: FakeBindings) -> None:
    cuda = CudaRuntime()
    cuda.copy_to_device(512, 1024, 40, "stream")
    cuda.copy_to_host(1024, 512, 40, "stream")
    assert bindings.calls == [
        ("cudaMemcpyAsync", 512, 1024, 40, "to device", "stream"),
        ("cudaMemcpyAsync", 1024, 512, 40, "to host", "stream"),
    ]


def test_the_stream_is_its_own_and_captures_for_this_thread(bindings: FakeBindings) -> None:
    cuda = CudaRuntime()
    cuda.create_stream()
    cuda.begin_capture("stream")
    assert bindings.calls == [
        ("cudaStreamCreateWithFlags", 1),
        ("cudaStreamBeginCapture", "stream", "thread local"),
    ]


def test_a_failed_call_is_an_error_in_cudas_words(bindings: FakeBindings) -> None:
    bindings.failing = {"cudaMalloc"}
    with pytest.raises(DeviceError, match=r"CUDA says: out of memory \(cudaErrorMemoryAllocation\)") as caught:
        CudaRuntime().allocate(10)
    assert caught.value.exit_code == 15


@pytest.mark.parametrize("failing", [set(), {"cudaGraphInstantiate"}])
def test_a_recording_is_freed_whether_or_not_it_becomes_a_graph(bindings: FakeBindings, failing: set[str]) -> None:
    bindings.failing = failing
    if failing:
        with pytest.raises(DeviceError):
            CudaRuntime().end_capture("stream")
    else:
        assert CudaRuntime().end_capture("stream") == "cudaGraphInstantiate"
    assert bindings.calls[-1] == ("cudaGraphDestroy", "recorded")


def test_an_array_shares_the_hosts_memory(bindings: FakeBindings) -> None:
    memory = np.arange(8, dtype=np.uint8)
    array = CudaRuntime().host_array(memory.ctypes.data, 8)
    array[3] = 99
    assert memory[3] == 99


def test_without_the_package_the_pip_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(MissingBackendError, match='Run: pip install "cuda-bindings>=12.6'):
        CudaRuntime()


def test_the_installed_package_has_every_name_that_is_used() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    nodes = ast.walk(ast.parse(inspect.getsource(cuda_module)))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr.startswith("cuda")}
    kinds = {**vars(runtime.cudaMemcpyKind), **vars(runtime.cudaStreamCaptureMode)}
    assert len(used) > 15
    assert {name for name in used if not hasattr(runtime, name) and name not in kinds} == set()


def test_without_a_gpu_the_installed_package_says_so() -> None:
    pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    if current_gpu() is not None:
        pytest.skip("a GPU is here, so nothing fails")
    with pytest.raises(DeviceError, match="expected the GPU to do its work, but CUDA says"):
        CudaRuntime().allocate(10)
