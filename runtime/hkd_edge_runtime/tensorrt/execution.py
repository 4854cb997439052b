"""Runs an engine: buffers made once, one copy each way, and a CUDA graph for each size of batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime.backends.base import INPUT
from hkd_edge_runtime.errors import DeviceError
from hkd_edge_runtime.tensorrt.cuda import CudaRuntime
from hkd_edge_runtime.tensorrt.engine import EngineShapes
from hkd_edge_runtime.tensorrt.installed import TENSORRT_RTX, Log, flavour, log_of
from hkd_edge_runtime.tensorrt.record import BatchProfile

# TensorRT wants tensors at addresses that are multiples of this; cudaMalloc gives such.
ALIGNMENT_BYTES = 256
# Sizes of batch whose context and graph are kept; beyond them the one that was not used for longest goes.
MAX_LANES = 8
FLOAT32_BYTES = 4


@dataclass(frozen=True, eq=False)
class _Lane:
    """All that is prepared for one size of batch.

    Attributes:
        outputs: float32 (N, width) for each output, views of the host's memory.
        output_bytes: of all outputs together, with the gaps that align them.
        graph: the recorded work; None where it cannot be recorded.
    """

    context: Any
    input_bytes: int
    output_bytes: int
    outputs: tuple[npt.NDArray[np.float32], ...]
    graph: Any


class EngineRunner:
    """An engine with its buffers on the first CUDA device; one thread at a time.

    Attributes:
        graph_refusal: why the work is queued anew at each call; None while CUDA graphs are used.
    """

    def __init__(
        self,
        module: Any,
        engine: Any,
        cuda: CudaRuntime,
        profile: BatchProfile,
        shapes: EngineShapes,
    ) -> None:
        """Allocates for batches up to `profile.max`.

        Raises:
            DeviceError: if CUDA or TensorRT fails, for want of memory for one.
        """
        self.graph_refusal: str | None = None
        self._module, self._engine, self._cuda = module, engine, cuda
        self._profile, self._image_shape, self._widths = profile, shapes.image, shapes.widths
        self._lanes: OrderedDict[int, _Lane] = OrderedDict()
        with ExitStack() as resources:
            self._allocate(resources)
            self._resources = resources.pop_all()

    def run(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """New arrays (N, width) for each output; `images` are uint8 (N, H, W, C) with 1 <= N <= profile.max.

        Raises:
            DeviceError: if CUDA or TensorRT fails.
        """
        count = len(images)
        # Rows beyond the images hold whatever was there; each image is computed by itself.
        batch = max(count, self._profile.min)
        self._input[:count] = images
        lane = self._lanes.get(batch)
        if lane is None:
            lane = self._first_run(batch)
        else:
            self._lanes.move_to_end(batch)
            if lane.graph is None:
                self._queue(lane)
            else:
                self._cuda.launch(lane.graph, self._stream)
            self._cuda.synchronize(self._stream)
        return [output[:count].copy() for output in lane.outputs]

    def close(self) -> None:
        """Frees everything, in the reverse order of its making; a second call does nothing."""
        while self._lanes:
            self._drop(*self._lanes.popitem())
        self._resources.close()
        self._engine = None

    def _allocate(self, resources: ExitStack) -> None:
        cuda, largest = self._cuda, self._profile.max
        cuda.use_first_device()
        self._stream = cuda.create_stream()
        resources.callback(cuda.destroy_stream, self._stream)
        input_bytes = largest * int(np.prod(self._image_shape))
        _, output_bytes = output_layout(largest, self._widths)
        # Activations of all contexts: they run one after the other on one stream, so they can share it.
        self._scratch_bytes = int(self._engine.device_memory_size_v2)

        def on_device(size_bytes: int) -> int:
            address = cuda.allocate(max(size_bytes, ALIGNMENT_BYTES))
            resources.callback(cuda.free, address)
            return address

        def on_host(size_bytes: int) -> int:
            address = cuda.allocate_host(size_bytes)
            resources.callback(cuda.free_host, address)
            return address

        self._device_input, self._device_output = on_device(input_bytes), on_device(output_bytes)
        self._scratch = on_device(self._scratch_bytes)
        self._host_input, self._host_output = on_host(input_bytes), on_host(output_bytes)
        self._input = cuda.host_array(self._host_input, input_bytes).reshape(largest, *self._image_shape)
        self._input[:] = 0
        self._output = cuda.host_array(self._host_output, output_bytes)

    def _first_run(self, batch: int) -> _Lane:
        """Makes the lane for a size of batch; its outputs are then those of what lies in the input."""
        while len(self._lanes) >= MAX_LANES:
            self._drop(*self._lanes.popitem(last=False))
        lane = self._lane(batch)
        # This also settles what TensorRT puts off until the first run after a change of shapes, which must not be
        # recorded.
        self._queue(lane)
        self._cuda.synchronize(self._stream)
        lane = _Lane(lane.context, lane.input_bytes, lane.output_bytes, lane.outputs, self._record(lane))
        self._lanes[batch] = lane
        return lane

    def _lane(self, batch: int) -> _Lane:
        # A context of its own for each size: changing the shapes of one would break the graph recorded from it.
        context = self._context()
        offsets, output_bytes = output_layout(batch, self._widths)
        context.set_device_memory(self._scratch, self._scratch_bytes)
        # Only an engine's first context gets the profile by itself.
        taken = context.set_optimization_profile_async(0, int(self._stream))
        addresses = {INPUT: self._device_input} | {
            name: self._device_output + offset for name, offset in zip(self._widths, offsets, strict=True)
        }
        taken = taken and context.set_input_shape(INPUT, (batch, *self._image_shape))
        if not taken or not all(context.set_tensor_address(*pair) for pair in addresses.items()):
            raise self._failure(f"take a batch of {batch}")
        outputs = tuple(
            self._output[offset : offset + FLOAT32_BYTES * batch * width].view(np.float32).reshape(batch, width)
            for offset, width in zip(offsets, self._widths.values(), strict=True)
        )
        return _Lane(context, batch * int(np.prod(self._image_shape)), output_bytes, outputs, None)

    def _context(self) -> Any:
        user_managed = self._module.ExecutionContextAllocationStrategy.USER_MANAGED
        if flavour(self._module) == TENSORRT_RTX:
            config = self._engine.create_runtime_config()
            config.set_execution_context_allocation_strategy(user_managed)
            # By default it would go on with slow kernels while better ones compile, and a graph would keep the slow.
            eager = self._module.DynamicShapesKernelSpecializationStrategy.EAGER
            config.dynamic_shapes_kernel_specialization_strategy = eager
            context = self._engine.create_execution_context(config)
        else:
            context = self._engine.create_execution_context(user_managed)
        if context is None:
            raise self._failure("prepare an engine for running")
        return context

    def _queue(self, lane: _Lane) -> None:
        cuda, stream = self._cuda, self._stream
        cuda.copy_to_device(self._device_input, self._host_input, lane.input_bytes, stream)
        if not lane.context.execute_async_v3(int(stream)):
            raise self._failure("run an engine")
        cuda.copy_to_host(self._host_output, self._device_output, lane.output_bytes, stream)

    def _record(self, lane: _Lane) -> Any:
        """The graph of a lane's work; None, with the reason in `graph_refusal`, where it cannot be recorded."""
        if self.graph_refusal is not None:
            return None
        try:
            self._cuda.begin_capture(self._stream)
            try:
                self._queue(lane)
            except DeviceError:
                # The stream must leave the capture even so; that the graph is broken is known by then.
                self._abandon_capture()
                raise
            return self._cuda.end_capture(self._stream)
        except DeviceError as error:
            self.graph_refusal = str(error)
            return None

    def _abandon_capture(self) -> None:
        try:
            self._cuda.destroy_graph(self._cuda.end_capture(self._stream))
        except DeviceError:
            return

    def _drop(self, batch: int, lane: _Lane) -> None:
        if lane.graph is not None:
            self._cuda.destroy_graph(lane.graph)

    def _failure(self, what: str) -> DeviceError:
        log: Log = log_of(self._module)
        return DeviceError(
            f"expected TensorRT to {what}, but it refuses: {'; '.join(log.errors) or 'no reason given'}. "
            "Verify the bundle here, or take another target."
        )


def output_layout(batch: int, widths: Mapping[str, int]) -> tuple[list[int], int]:
    """Where each output (batch, width) of float32 starts in one block of memory, and the size of the block in bytes.

    >>> output_layout(1, {"logits": 10, "probabilities": 10})
    ([0, 256], 296)
    >>> output_layout(7, {"logits": 10, "probabilities": 10})
    ([0, 512], 792)
    """
    offsets, end = [], 0
    for width in widths.values():
        start = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        offsets.append(start)
        end = start + FLOAT32_BYTES * batch * width
    return offsets, end
