"""A plain timing loop around a model file, which imports nothing of hkd-edge: an independent check of its timings.

    python benchmarks/plain_loop.py onnxruntime|openvino FILE CALLS

One image of random pixels, one thread; prints `measuring` after the warm-up, and at the end the median time of a call
and, where the runtime tells it, of what the call takes inside the runtime.
"""

import os
import statistics
import sys
import time

import numpy as np

# Nothing is sent anywhere: both runtimes report their use unless they are stopped before their import.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ["ORT_TELEMETRY_DISABLED"] = "1"
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

WARM_UP = 200


def onnxruntime_call(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    feeds = {entry.name: random_image(entry.shape[1:])}
    return (lambda: session.run(None, feeds)), None


def openvino_call(path):
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    shape = [size.get_length() for size in list(model.input(0).partial_shape)[1:]]
    model.reshape([1, *shape])
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(random_image(shape)))
    return request.infer, lambda: request.latency / 1e3


def random_image(shape):
    return np.random.default_rng(0).integers(0, 256, (1, *shape), dtype=np.uint8)


def main(target, path, calls):
    call, inside = {"onnxruntime": onnxruntime_call, "openvino": openvino_call}[target](path)
    for _ in range(WARM_UP):
        call()
    print("measuring", flush=True)
    times, times_inside = [], []
    for _ in range(int(calls)):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
        if inside:
            times_inside.append(inside())
    print(f"Median: {statistics.median(times) * 1e6:.2f} us")
    if times_inside:
        print(f"Inside: {statistics.median(times_inside) * 1e6:.2f} us")


if __name__ == "__main__":
    main(*sys.argv[1:])
