from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from hkd_edge_export.errors import ExportError
from hkd_edge_export.half import to_half
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.spec import OPSET
from hkd_edge_export.to_onnx import to_onnx
from hkd_edge_runtime.files import sha256_file

Run = Callable[[Path, np.ndarray], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def half(exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_half(exported.fp32, tmp_path_factory.mktemp("half") / "fp16.onnx")


def test_it_agrees_with_fp32(exported, half: Path, run: Run, digits) -> None:
    fp32, fp16 = (run(path, digits.test_images) for path in (exported.fp32, half))
    assert (fp32["logits"].argmax(1) == fp16["logits"].argmax(1)).mean() >= 0.999
    # Ten times the step of FP16 at the largest logit, about 10: errors of several layers add up.
    assert np.abs(fp32["logits"] - fp16["logits"]).max() < 0.08


def test_input_and_outputs_keep_their_names_types_and_opset(half: Path, run: Run, digits, spec) -> None:
    model = lint_onnx(half, spec=spec)
    assert [entry.version for entry in model.opset_import] == [OPSET]
    answers = run(half, digits.test_images[:3])
    assert {array.dtype for array in answers.values()} == {np.dtype(np.float32)}


def test_probabilities_are_computed_in_float32(half: Path, run: Run, digits) -> None:
    answers = run(half, digits.test_images)
    np.testing.assert_allclose(answers["probabilities"].sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(answers["concept_probabilities"][:, :2].sum(1), 1, atol=1e-6)


def test_there_is_one_cast_on_each_border_and_none_inside(half: Path) -> None:
    nodes = list(onnx.load(half).graph.node)
    casts = [index for index, node in enumerate(nodes) if node.op_type == "Cast"]
    assert [nodes[index].name for index in casts] == ["cast_0", "cast_1", "cast_2"]
    assert [node.op_type for node in nodes[:5]] == ["Cast", "Transpose", "Mul", "Add", "Cast"]
    assert [node.op_type for node in nodes[-3:]] == ["Cast", "Softmax", "MatMul"]


def test_the_networks_weights_are_halved_and_those_around_it_are_not(exported, half: Path) -> None:
    types = {tensor.name: tensor.data_type for tensor in onnx.load(half).graph.initializer}
    assert {types[name] for name in ("pixel_scale", "pixel_bias", "membership")} == {TensorProto.FLOAT}
    assert {kind for name, kind in types.items() if name.startswith("net.")} == {TensorProto.FLOAT16}
    assert half.stat().st_size < 0.6 * exported.fp32.stat().st_size


def test_the_same_file_gives_the_same_bytes(exported, half: Path, tmp_path: Path) -> None:
    assert sha256_file(to_half(exported.fp32, tmp_path / "again.onnx")) == sha256_file(half)


class Growing(nn.Module):
    """Resizes by constant scales, which ONNX wants in float32, and pools its logits at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        large = nn.functional.interpolate(self.conv(x), scale_factor=2.0, mode="nearest")
        return torch.cat([large, large.relu()], dim=2).mean((2, 3))


def test_inputs_that_must_be_float32_stay_so(tmp_path: Path, spec, run: Run, digits) -> None:
    torch.manual_seed(0)
    fp32 = to_onnx(Growing(), spec, tmp_path / "fp32.onnx")
    assert "Resize" in {node.op_type for node in onnx.load(fp32).graph.node}
    half = to_half(fp32, tmp_path / "fp16.onnx")
    one, other = (run(path, digits.test_images[:20])["logits"] for path in (fp32, half))
    np.testing.assert_allclose(one, other, atol=5e-3)


def test_a_weight_beyond_half_is_refused_and_the_existing_file_survives(exported, tmp_path: Path) -> None:
    model, out = onnx.load(exported.fp32), tmp_path / "fp16.onnx"
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "net.head.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1e6), weight.name))
    onnx.save(model, tmp_path / "fp32.onnx")
    out.write_bytes(b"the last good file")
    with pytest.raises(ExportError, match=r"weight 'net\.head\.weight': expected at most 65504, .* got \d.*Ship"):
        to_half(tmp_path / "fp32.onnx", out)
    assert out.read_bytes() == b"the last good file"


def test_a_quantized_file_is_refused(exported, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"int8\.onnx: expected an fp32 file, got a quantized one"):
        to_half(exported.int8, tmp_path / "fp16.onnx")


def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x08not a protobuf")
    with pytest.raises(ExportError, match="expected an ONNX file, but it cannot be decoded"):
        to_half(tmp_path / "net.onnx", tmp_path / "fp16.onnx")
