from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from hkd_edge_export.errors import ExportError
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_runtime.files import sha256_file

Run = Callable[[Path, np.ndarray], dict[str, np.ndarray]]
MAX_LOGIT_ERROR = 1e-4


def test_openvino_gives_the_logits_of_torch_under_the_names_of_the_onnx_file(
    exported, run: Run, digits, torch_logits
) -> None:
    answers = run(exported.fp32_ir, digits.test_images)
    assert list(answers) == ["logits", "probabilities", "concept_probabilities"]
    assert np.abs(answers["logits"] - torch_logits).max() < MAX_LOGIT_ERROR


def test_fp32_weights_are_not_halved(exported) -> None:
    text = exported.fp32_ir.read_text()
    assert 'element_type="f32"' in text
    assert "f16" not in text


@pytest.fixture(scope="module")
def half_ir(exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_openvino(exported.fp32, tmp_path_factory.mktemp("half") / "fp16.xml", half_weights=True)


def test_halved_weights_take_half_the_bytes_and_agree_with_fp32(exported, half_ir: Path, run: Run, digits) -> None:
    fp32, fp16 = (run(path, digits.test_images) for path in (exported.fp32_ir, half_ir))
    assert list(fp16) == list(fp32)
    assert {array.dtype for array in fp16.values()} == {np.dtype(np.float32)}
    assert (fp32["logits"].argmax(1) == fp16["logits"].argmax(1)).mean() >= 0.999
    weights = [path.with_suffix(".bin").stat().st_size for path in (exported.fp32_ir, half_ir)]
    assert weights[1] < 0.55 * weights[0]


def test_halving_gives_the_same_bytes_again(tmp_path: Path, exported, half_ir: Path) -> None:
    again = to_openvino(exported.fp32, tmp_path / "again.xml", half_weights=True)
    for suffix in (".xml", ".bin"):
        assert sha256_file(again.with_suffix(suffix)) == sha256_file(half_ir.with_suffix(suffix))


@pytest.mark.parametrize("name", ["fp32", "int8"])
def test_the_same_onnx_file_gives_the_same_bytes_in_another_folder(tmp_path: Path, exported, name) -> None:
    copy = tmp_path / "renamed.onnx"
    copy.write_bytes(getattr(exported, name).read_bytes())
    again, first = to_openvino(copy, tmp_path / "again.xml"), getattr(exported, f"{name}_ir")
    for suffix in (".xml", ".bin"):
        assert sha256_file(again.with_suffix(suffix)) == sha256_file(first.with_suffix(suffix))


def test_layers_are_named_after_the_onnx_file_or_by_their_position(exported) -> None:
    text = exported.fp32_ir.read_text()
    assert all(f'name="{name}"' in text for name in ("conv_0", "relu_0", "net.stem.0.weight", "Constant.2"))


def test_an_operator_that_openvino_lacks_is_refused_and_existing_files_survive(tmp_path: Path, exported) -> None:
    model = onnx.load(exported.fp32)
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Frobnicate"
    onnx.save(model, tmp_path / "net.onnx")
    (tmp_path / "net.xml").write_text("the last good file")
    with pytest.raises(ExportError, match=r"(?s)expected a network that OpenVINO reads, but .*Frobnicate"):
        to_openvino(tmp_path / "net.onnx", tmp_path / "net.xml")
    assert (tmp_path / "net.xml").read_text() == "the last good file"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "net.xml"]


def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x08not a protobuf")
    with pytest.raises(ExportError, match="expected an ONNX file, but it cannot be decoded"):
        to_openvino(tmp_path / "net.onnx", tmp_path / "net.xml")


def test_importing_the_package_loads_no_tool() -> None:
    code = "import sys, hkd_edge_export, hkd_edge_export.spec, hkd_edge_export.errors; print(*sys.modules)"
    path = [str(entry) for entry in sys.path if entry]
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"torch", "onnx", "onnxruntime", "nncf", "openvino"}.intersection(loaded)


def test_the_tools_find_no_telemetry(tmp_path: Path, exported) -> None:
    to_openvino(exported.fp32, tmp_path / "net.xml")
    assert sys.modules["openvino_telemetry"] is None
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
