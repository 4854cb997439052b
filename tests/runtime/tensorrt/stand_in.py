"""TensorRT and CUDA as far as the backend may use them, computing with numpy; they check how they are used.

The model file is the .npz of a Toy. Work queued on the stream is done when the stream is waited for, not before; memory
is a table of blocks with their bounds; what is not freed stays in the table.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from hkd_edge_runtime.errors import DeviceError
from tests.runtime.conftest import FLAT, GREY, HIERARCHY, RGB, Toy

PLAN = b"plan:"
SCRATCH_BYTES = 1000
HANDLE = 77
OUTPUTS = ("logits", "probabilities", "concept_probabilities")


class FakeStream:
    def __int__(self) -> int:
        return HANDLE


class FakeCuda:
    """The methods of CudaRuntime; `failing` names those that are to fail."""

    def __init__(self) -> None:
        self.blocks: dict[int, tuple[str, np.ndarray]] = {}
        self.streams = 0
        self.graphs: list[list[Callable[[], None]]] = []
        self.calls: list[str] = []
        self.failing: set[str] = set()
        self._next = 1 << 20
        self._queue: list[Callable[[], None]] = []
        self._captured: list[Callable[[], None]] | None = None

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing:
            raise DeviceError(f"{name} failed")

    def use_first_device(self) -> None:
        self._call("use_first_device")

    def _allocate(self, kind: str, size_bytes: int) -> int:
        address, self._next = self._next, self._next + (size_bytes // 256 + 2) * 256
        self.blocks[address] = (kind, np.full(size_bytes, 0xAA, np.uint8))
        return address

    def _free(self, kind: str, address: int) -> None:
        assert self.blocks.pop(address)[0] == kind

    def allocate(self, size_bytes: int) -> int:
        self._call("allocate")
        return self._allocate("device", size_bytes)

    def free(self, address: int) -> None:
        self._free("device", address)

    def allocate_host(self, size_bytes: int) -> int:
        self._call("allocate_host")
        return self._allocate("host", size_bytes)

    def free_host(self, address: int) -> None:
        self._free("host", address)

    def host_array(self, address: int, size_bytes: int) -> np.ndarray:
        return self.span("host", address, size_bytes)

    def span(self, kind: str, address: int, size_bytes: int) -> np.ndarray:
        """The bytes at an address, which must lie in one block of that kind."""
        start = max(block for block in self.blocks if block <= address)
        actual, content = self.blocks[start]
        assert actual == kind
        assert address - start + size_bytes <= len(content), "out of bounds"
        return content[address - start : address - start + size_bytes]

    def create_stream(self) -> FakeStream:
        self._call("create_stream")
        self.streams += 1
        return FakeStream()

    def destroy_stream(self, stream: FakeStream) -> None:
        self.streams -= 1

    def submit(self, work: Callable[[], None]) -> None:
        (self._queue if self._captured is None else self._captured).append(work)

    def _copy(self, name: str, to: tuple[str, int], source: tuple[str, int], size_bytes: int) -> None:
        self._call(f"{name} {size_bytes}")

        def work() -> None:
            self.span(*to, size_bytes)[:] = self.span(*source, size_bytes)

        self.submit(work)

    def copy_to_device(self, device: int, host: int, size_bytes: int, stream: FakeStream) -> None:
        self._copy("copy_to_device", ("device", device), ("host", host), size_bytes)

    def copy_to_host(self, host: int, device: int, size_bytes: int, stream: FakeStream) -> None:
        self._copy("copy_to_host", ("host", host), ("device", device), size_bytes)

    def synchronize(self, stream: FakeStream) -> None:
        self._call("synchronize")
        assert self._captured is None, "a stream that records cannot be waited for"
        for work in self._queue:
            work()
        self._queue.clear()

    def begin_capture(self, stream: FakeStream) -> None:
        self._call("begin_capture")
        assert self._captured is None
        self._captured = []

    def end_capture(self, stream: FakeStream) -> list[Callable[[], None]]:
        captured, self._captured = self._captured, None
        assert captured is not None
        self._call("end_capture")
        self.graphs.append(captured)
        return captured

    def launch(self, graph: list[Callable[[], None]], stream: FakeStream) -> None:
        self._call("launch")
        assert any(graph is each for each in self.graphs), "a destroyed graph"
        for work in graph:
            self.submit(work)

    def destroy_graph(self, graph: list[Callable[[], None]]) -> None:
        self.graphs[:] = [each for each in self.graphs if each is not graph]


@dataclass
class FakeContext:
    """Computes when the stream comes to it, from what then lies at the addresses that it was given."""

    engine: FakeEngine
    strategy: str
    shape: tuple[int, ...] = ()
    addresses: dict[str, int] = field(default_factory=dict)
    scratch: tuple[int, int] = (0, 0)
    profile: int | None = None

    def set_optimization_profile_async(self, profile: int, handle: int) -> bool:
        self.profile = profile
        return handle == HANDLE

    def set_device_memory(self, memory: int, size: int) -> None:
        self.scratch = (memory, size)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.profile is not None, "shapes are checked against the profile"
        self.shape = shape
        return name == "images" and shape[0] <= self.engine.max_batch

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return address % 256 == 0

    def execute_async_v3(self, handle: int) -> bool:
        cuda, toy = self.engine.cuda, self.engine.toy
        cuda.calls.append("execute")
        assert (handle, self.strategy, self.profile) == (HANDLE, "user managed", 0)
        assert len(cuda.span("device", *self.scratch)) >= SCRATCH_BYTES
        if "execute" in cuda.failing:
            return False

        def work() -> None:
            size = int(np.prod(self.shape))
            images = cuda.span("device", self.addresses["images"], size).reshape(self.shape)
            for name, array in zip(OUTPUTS, toy.outputs(images), strict=True):
                if name in self.engine.names:
                    cuda.span("device", self.addresses[name], array.nbytes)[:] = array.view(np.uint8).ravel()

        cuda.submit(work)
        return True


@dataclass
class FakeEngine:
    toy: Toy
    cuda: FakeCuda
    max_batch: int
    device_memory_size_v2: int = SCRATCH_BYTES
    contexts: list[FakeContext] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        return ("images", *(OUTPUTS if self.toy.hierarchy.axes else OUTPUTS[:2]))

    @property
    def num_io_tensors(self) -> int:
        return len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name == "images" else "output"

    def get_tensor_dtype(self, name: str) -> Any:
        return UINT8 if name == "images" else FLOAT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        classes, concepts = self.toy.hierarchy.membership().shape
        return {
            "images": (-1, *self.toy.spec.shape),
            "concept_probabilities": (-1, concepts),
        }.get(name, (-1, classes))

    def create_execution_context(self, strategy: str) -> FakeContext:
        self.contexts.append(FakeContext(self, strategy))
        return self.contexts[-1]


UINT8, FLOAT = SimpleNamespace(name="UINT8"), SimpleNamespace(name="FLOAT")


def read_toy(data: bytes) -> Toy | None:
    """The toy in the bytes of its .npz file."""
    try:
        with np.load(io.BytesIO(data)) as arrays:
            spec = next(spec for spec in (GREY, RGB) if spec.shape == tuple(arrays["shape"]))
            return Toy(spec, HIERARCHY if arrays["concepts"] else FLAT, arrays["weights"])
    except (ValueError, OSError):
        return None


def stand_in(cuda: FakeCuda) -> ModuleType:
    """The module `tensorrt`; `seen` of it keeps the engines that were opened and how often one was built."""
    seen = SimpleNamespace(engines=[], builds=0, profile=None, flags=None, cleared=[])

    class ILogger:
        WARNING = 2

    class Network:
        def __init__(self) -> None:
            self.toy: Toy | None = None
            self.num_layers = 8
            self.num_inputs = 1

        def _engine(self) -> FakeEngine:
            assert self.toy is not None
            return FakeEngine(self.toy, cuda, 0)

        @property
        def num_outputs(self) -> int:
            return len(self._engine().names) - 1

        def get_input(self, index: int) -> Any:
            return SimpleNamespace(name="images", dtype=UINT8, shape=self._engine().get_tensor_shape("images"))

        def get_output(self, index: int) -> Any:
            return SimpleNamespace(name=self._engine().names[1 + index])

    class Config:
        def clear_flag(self, flag: str) -> None:
            seen.cleared.append(flag)

        def add_optimization_profile(self, profile: Any) -> int:
            return 0

    class Builder:
        def __init__(self, logger: Any) -> None:
            pass

        def create_network(self, flags: int) -> Network:
            seen.flags = flags
            return Network()

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> Any:
            return SimpleNamespace(set_shape=lambda *shapes: setattr(seen, "profile", shapes))

        def build_serialized_network(self, network: Network, config: Config) -> bytes:
            seen.builds += 1
            assert network.toy is not None
            content = io.BytesIO()
            toy = network.toy
            np.savez(content, weights=toy.weights, shape=toy.spec.shape, concepts=bool(toy.hierarchy.axes))
            return PLAN + content.getvalue()

    class OnnxParser:
        num_errors = 0

        def __init__(self, network: Network, logger: Any) -> None:
            self._network, self._logger = network, logger

        def parse(self, data: bytes) -> bool:
            self._network.toy = read_toy(data)
            if self._network.toy is None:
                self._logger.log(1, "not a model")
            return self._network.toy is not None

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, data: bytes) -> FakeEngine | None:
            toy = read_toy(data.removeprefix(PLAN)) if data.startswith(PLAN) else None
            if toy is None:
                self._logger.log(1, "not a plan")
                return None
            seen.engines.append(FakeEngine(toy, cuda, seen.profile[3][0] if seen.profile else 64))
            return seen.engines[-1]

    module = ModuleType("tensorrt")
    names = {
        "ILogger": ILogger,
        "Builder": Builder,
        "OnnxParser": OnnxParser,
        "Runtime": Runtime,
        "NetworkDefinitionCreationFlag": SimpleNamespace(STRONGLY_TYPED=1),
        "BuilderFlag": SimpleNamespace(TF32="tf32"),
        "ExecutionContextAllocationStrategy": SimpleNamespace(USER_MANAGED="user managed"),
        "TensorIOMode": SimpleNamespace(INPUT="input", OUTPUT="output"),
        "DataType": SimpleNamespace(UINT8=UINT8, FLOAT=FLOAT),
        "__version__": "10.3.0",
        "seen": seen,
    }
    for name, value in names.items():
        setattr(module, name, value)
    return module
