from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hkd_edge_export.errors import ExportError
from hkd_edge_export.quantize import nodes_around_the_network, quantize_int8
from hkd_edge_runtime.files import sha256_file

Run = Callable[[Path, np.ndarray], dict[str, np.ndarray]]


def _agreement(one: np.ndarray, other: np.ndarray) -> float:
    return float((one.argmax(1) == other.argmax(1)).mean())


def test_int8_agrees_with_fp32_on_both_runtimes_and_between_them(exported, run: Run, digits) -> None:
    fp32 = run(exported.fp32, digits.test_images)["logits"]
    onnxruntime, openvino = (run(path, digits.test_images)["logits"] for path in (exported.int8, exported.int8_ir))
    assert _agreement(onnxruntime, fp32) >= 0.97
    assert _agreement(openvino, fp32) >= 0.97
    assert _agreement(onnxruntime, openvino) >= 0.99


def test_int8_weights_make_the_file_smaller(exported) -> None:
    assert exported.int8.stat().st_size < exported.fp32.stat().st_size / 2


def test_preprocessing_and_answers_stay_in_float(exported) -> None:
    graph = onnx.load(exported.fp32).graph
    names = nodes_around_the_network(graph)
    assert names == ["cast_0", "transpose_0", "mul_0", "add_0", "softmax_0", "matmul_0"]


def test_the_nodes_around_the_network_are_found_by_position_not_by_name(exported) -> None:
    graph = onnx.load(exported.fp32).graph
    for position, node in enumerate(graph.node):
        node.name = f"anything {position}"
    last = len(graph.node) - 1
    positions = (0, 1, 2, 3, last - 1, last)
    assert nodes_around_the_network(graph) == [f"anything {position}" for position in positions]


def test_the_same_images_give_the_same_bytes(tmp_path: Path, exported, digits) -> None:
    again = quantize_int8(exported.fp32, tmp_path / "int8.onnx", digits.train_images[:100], bias_correction=True)
    assert sha256_file(again) == sha256_file(exported.int8)


def test_another_process_gives_the_same_bytes_and_opens_no_connection(tmp_path: Path, exported, digits) -> None:
    np.save(tmp_path / "images.npy", digits.train_images[:100])
    script = f"""
import sys
sys.path[:0] = {[entry for entry in sys.path if entry]!r}
seen = []
sys.addaudithook(lambda event, _: event.startswith("socket.") and seen.append(event))
from pathlib import Path
import numpy as np
from hkd_edge_export.quantize import quantize_int8
images = np.load("images.npy")
quantize_int8(Path({str(exported.fp32)!r}), Path("int8.onnx"), images, bias_correction=True)
print(seen, [name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[] []\n"
    assert sha256_file(tmp_path / "int8.onnx") == sha256_file(exported.int8)


def test_bias_correction_changes_biases_only(tmp_path: Path, exported, digits) -> None:
    images = digits.train_images[:100]
    plain = quantize_int8(exported.fp32, tmp_path / "plain.onnx", images, bias_correction=False)
    one, other = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
        for path in (plain, exported.int8)
    )
    changed = {name for name in one if not np.array_equal(one[name], other[name])}
    assert changed
    assert all(name.endswith("bias") for name in changed)


def test_the_full_range_of_weights_is_used_on_request(tmp_path: Path, exported, digits) -> None:
    path = quantize_int8(
        exported.fp32,
        tmp_path / "full.onnx",
        digits.train_images[:10],
        bias_correction=False,
        half_range_weights=False,
    )
    tensors = [numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer]
    assert max(np.abs(tensor.astype(int)).max() for tensor in tensors if tensor.dtype == np.int8) > 64


@pytest.mark.parametrize(
    ("images", "arrived"),
    [
        (np.zeros((0, 8, 8, 1), np.uint8), r"uint8 of shape \(0, 8, 8, 1\)"),
        (np.zeros((5, 1, 8, 8), np.uint8), r"uint8 of shape \(5, 1, 8, 8\)"),
        (np.zeros((8, 8, 1), np.uint8), r"uint8 of shape \(8, 8, 1\)"),
        (np.zeros((5, 8, 8, 1), np.float32), r"float32 of shape \(5, 8, 8, 1\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(tmp_path: Path, exported, images: np.ndarray, arrived: str) -> None:
    expected = r"calibration: expected at least one uint8 image of shape \(8, 8, 1\), got "
    with pytest.raises(ExportError, match=expected + arrived):
        quantize_int8(exported.fp32, tmp_path / "int8.onnx", images, bias_correction=False)


def test_a_broken_file_is_refused_and_the_existing_one_survives(tmp_path: Path, digits) -> None:
    broken, out = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    broken.write_bytes(b"\x08not a protobuf")
    out.write_bytes(b"the last good file")
    with pytest.raises(ExportError, match=r"fp32\.onnx: expected an ONNX file"):
        quantize_int8(broken, out, digits.train_images[:5], bias_correction=False)
    assert out.read_bytes() == b"the last good file"
    assert sorted(tmp_path.iterdir()) == [broken, out]


def test_quantizing_prints_nothing(tmp_path: Path, exported, digits, capfd: pytest.CaptureFixture[str]) -> None:
    quantize_int8(exported.fp32, tmp_path / "int8.onnx", digits.train_images[:5], bias_correction=True)
    assert capfd.readouterr() == ("", "")
