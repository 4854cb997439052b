from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.spec import ExportSpec
from hkd_edge_runtime.hierarchy import Hierarchy


@pytest.fixture
def model(exported) -> onnx.ModelProto:
    return onnx.load(exported.fp32)


def _node(model: onnx.ModelProto, op_type: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == op_type)


def _add_constant(model: onnx.ModelProto, name: str, value: np.ndarray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def flatten_by_shape_arithmetic(model: onnx.ModelProto) -> None:
    """What an exported `x.view(x.size(0), -1)` can look like: the batch is read back from a Shape."""
    gemm = _node(model, "Gemm")
    zero = _add_constant(model, "zero", np.array([0]))
    rest = _add_constant(model, "rest", np.array([-1]))
    nodes = [
        helper.make_node("Shape", [gemm.input[0]], ["sizes"], "shape_0"),
        helper.make_node("Gather", ["sizes", zero], ["batch_size"], "gather_0"),
        helper.make_node("Concat", ["batch_size", rest], ["flat"], "concat_0", axis=0),
        helper.make_node("Reshape", [gemm.input[0], "flat"], ["features"], "reshape_0"),
    ]
    position = list(model.graph.node).index(gemm)
    gemm.input[0] = "features"
    for node in reversed(nodes):
        model.graph.node.insert(position, node)


def fix_the_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4


def take_floats(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def rename_an_output(model: onnx.ModelProto) -> None:
    model.graph.output[1].name = _node(model, "Softmax").output[0] = "scores"
    _node(model, "MatMul").input[0] = "scores"


def rename_the_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = _node(model, "Cast").input[0] = "pixels"


def lower_the_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 18


def use_a_private_operator(model: onnx.ModelProto) -> None:
    _node(model, "Relu").domain = "com.microsoft"


def transpose_before_the_cast(model: onnx.ModelProto) -> None:
    cast, transpose = _node(model, "Cast"), _node(model, "Transpose")
    last = transpose.output[0]
    transpose.input[0], transpose.output[0] = "images", "turned"
    cast.input[0], cast.output[0] = "turned", last
    model.graph.node.remove(transpose)
    model.graph.node.insert(0, transpose)


def unfold_a_batch_norm(model: onnx.ModelProto) -> None:
    relu = _node(model, "Relu")
    names = [_add_constant(model, name, np.ones(24, np.float32)) for name in ("scale", "shift", "mean", "var")]
    norm = helper.make_node("BatchNormalization", [relu.input[0], *names], ["normed"], "norm_0")
    model.graph.node.insert(list(model.graph.node).index(relu), norm)
    relu.input[0] = "normed"


def mix_the_batch(model: onnx.ModelProto) -> None:
    gemm = _node(model, "Gemm")
    first = _add_constant(model, "first_axis", np.array([0]))
    nodes = [
        helper.make_node("ReduceMean", [gemm.input[0], first], ["batch_mean"], "batch_mean"),
        helper.make_node("Sub", [gemm.input[0], "batch_mean"], ["centred"], "sub_0"),
    ]
    position = list(model.graph.node).index(gemm)
    gemm.input[0] = "centred"
    for node in reversed(nodes):
        model.graph.node.insert(position, node)


def poison_a_weight(model: onnx.ModelProto) -> None:
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == _node(model, "Gemm").input[2])
    bias.CopyFrom(numpy_helper.from_array(np.full(10, np.nan, np.float32), bias.name))


def cut_a_wire(model: onnx.ModelProto) -> None:
    _node(model, "Relu").input[0] = "nothing"


FAULTS: list[tuple[Callable[[onnx.ModelProto], None], str]] = [
    (
        flatten_by_shape_arithmetic,
        "node 'shape_0': ONNX operator Shape runs differently .*\n.*'gather_0': ONNX operator Gather",
    ),
    (fix_the_batch, "images: expected a symbolic batch, got a fixed size of 4"),
    (take_floats, "images: expected type uint8, got float"),
    (rename_an_output, r"expected the outputs \['logits', 'probabilities', .*got \['logits', 'scores', "),
    (rename_the_input, r"expected one input 'images', got \['pixels'\]"),
    (lower_the_opset, r"expected opset 20 and no other operator set, got \{'': 18\}"),
    (use_a_private_operator, "node 'relu_0': com.microsoft operator Relu"),
    (transpose_before_the_cast, r"expected Cast to read the input, .*got \['Transpose'\]"),
    (unfold_a_batch_norm, "node 'norm_0': expected the batch norm folded"),
    (mix_the_batch, "batch 1: an image's probabilities move by .* with the rest of its batch"),
    (poison_a_weight, "batch 64: expected finite probabilities, got NaN or infinity"),
    (cut_a_wire, "expected a valid ONNX graph, but the checker says: .*nothing"),
]


def test_an_export_of_ours_is_clean(exported, spec) -> None:
    assert lint_onnx(exported.fp32, spec=spec).graph.name == "classifier"


@pytest.mark.parametrize(("plant", "message"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_planted_fault_is_found(model: onnx.ModelProto, spec, plant, message: str) -> None:
    plant(model)
    with pytest.raises(ExportError, match=message):
        lint_onnx(model, spec=spec)


def test_one_error_lists_all_findings(model: onnx.ModelProto, spec) -> None:
    fix_the_batch(model)
    take_floats(model)
    lower_the_opset(model)
    with pytest.raises(ExportError) as caught:
        lint_onnx(model, spec=spec)
    findings = str(caught.value)
    assert all(text in findings for text in ("opset 20", "symbolic batch", "type uint8", "expected to run"))
    assert caught.value.exit_code == 8


def test_sizes_are_compared_with_the_spec(exported, spec) -> None:
    other = ExportSpec(28, 28, 1, (0.3,), (0.4,), Hierarchy(("a", "b")))
    with pytest.raises(ExportError) as caught:
        lint_onnx(exported.fp32, spec=other)
    assert r"images: expected sizes (28, 28, 1) after the batch, got (8, 8, 1)" in str(caught.value)
    assert "expected the outputs ['logits', 'probabilities'], got" in str(caught.value)


def test_without_a_spec_the_sizes_must_still_be_fixed(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "height"
    with pytest.raises(ExportError) as caught:
        lint_onnx(model)
    assert "after the batch, got ('height', 8, 1)" in str(caught.value)
    assert "not run: the input 'images' has no fixed height, width and channels" in str(caught.value)


@pytest.mark.parametrize("content", [b"\x08not a protobuf", b"\x89PNG\r\n\x1a\n" * 20])
def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"net\.onnx: expected an ONNX file, but it cannot be decoded"):
        lint_onnx(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.touch()
    with pytest.raises(ExportError, match="expected an ONNX model, but it holds no graph"):
        lint_onnx(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"it cannot be read: No such file or directory"):
        lint_onnx(tmp_path / "net.onnx")
