"""The fastest way to call each runtime directly, without hkd-edge-runtime: what the wrapper is measured against.

One thread, one image, all arrays made and bound beforehand; a call computes, and neither takes an image nor gives an
answer. Only what the runtimes document is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hkd_edge_runtime.telemetry import block_telemetry


def onnxruntime_call(path: Path, image: np.ndarray) -> Callable[[], object]:
    """A call of ONNX Runtime with its io_binding on arrays that are there before."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    images = np.ascontiguousarray(image[np.newaxis])
    names = [each.name for each in session.get_outputs()]
    outputs = session.run(names, {"images": images})
    binding = session.io_binding()
    binding.bind_input("images", "cpu", 0, np.uint8, images.shape, images.ctypes.data)
    for name, array in zip(names, outputs, strict=True):
        binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
    kept = images, outputs

    def call(kept: object = kept) -> None:
        session.run_with_iobinding(binding)

    return call


def openvino_call(path: Path, image: np.ndarray) -> Callable[[], object]:
    """A call of OpenVINO compiled for one image, with shared tensors that are set before."""
    block_telemetry()
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape({"images": [1, *image.shape]})
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    images = np.ascontiguousarray(image[np.newaxis])
    outputs = [np.zeros(tuple(each.shape), np.float32) for each in compiled.outputs]
    request.set_tensor("images", openvino.Tensor(images, shared_memory=True))
    for each, array in zip(compiled.outputs, outputs, strict=True):
        request.set_tensor(each.any_name, openvino.Tensor(array, shared_memory=True))
    kept = images, outputs

    def call(kept: object = kept) -> None:
        request.infer()

    return call


RAW_CALLS: dict[str, Callable[[Path, np.ndarray], Callable[[], object]]] = {
    "onnxruntime": onnxruntime_call,
    "openvino": openvino_call,
}
