"""The fastest way to call each runtime directly, without a backend of this package: what `predict` is measured against.

One image, all arrays made and bound beforehand; a call computes, and neither takes an image nor gives an answer. Only
what the runtimes document is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hkd_edge_runtime.backends.base import INPUT
from hkd_edge_runtime.backends.onnxruntime import LOG_ERRORS_ONLY
from hkd_edge_runtime.packages import import_package
from hkd_edge_runtime.telemetry import block_telemetry

if TYPE_CHECKING:
    from hkd_edge_runtime.preprocess import Pixels

# Computes, and returns the arrays (1, C or K) that the outputs were written to, in the order of the file.
RawCall = Callable[[], list["np.ndarray"]]


def onnxruntime_call(path: Path, image: Pixels, threads: int = 1) -> RawCall:
    """A call of ONNX Runtime with its io_binding on arrays that are there before; `image` is uint8 (H, W, C)."""
    block_telemetry()
    onnxruntime = import_package("onnxruntime", "onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = LOG_ERRORS_ONLY
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    images = np.ascontiguousarray(image[np.newaxis])
    names = [each.name for each in session.get_outputs()]
    # The sizes of the outputs may be symbolic in the file; a first run tells them.
    outputs: list[np.ndarray] = session.run(names, {INPUT: images})
    binding = session.io_binding()
    binding.bind_input(INPUT, "cpu", 0, np.uint8, images.shape, images.ctypes.data)
    for name, array in zip(names, outputs, strict=True):
        binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    # The runtime keeps only addresses; the call keeps the arrays alive.
    def call(images: Pixels = images) -> list[np.ndarray]:
        session.run_with_iobinding(binding)
        return outputs

    return call


def openvino_call(path: Path, image: Pixels, threads: int = 1) -> RawCall:
    """A call of OpenVINO, compiled for one image with shared tensors that are there before; `image` as above."""
    block_telemetry()
    openvino = import_package("openvino", "openvino")
    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape({INPUT: [1, *image.shape]})
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    images = np.ascontiguousarray(image[np.newaxis])
    outputs = [np.zeros(tuple(each.shape), np.float32) for each in compiled.outputs]
    request.set_tensor(INPUT, openvino.Tensor(images, shared_memory=True))
    for each, array in zip(compiled.outputs, outputs, strict=True):
        request.set_tensor(each.any_name, openvino.Tensor(array, shared_memory=True))

    def call(images: Pixels = images) -> list[np.ndarray]:
        request.infer()
        return outputs

    return call


# TensorRT has none: its backend queues one CUDA graph, beside which a call written anew would be the same call.
RAW_CALLS: dict[str, Callable[..., RawCall]] = {
    "onnxruntime": onnxruntime_call,
    "openvino": openvino_call,
}
