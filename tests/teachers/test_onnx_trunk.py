from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from hkd_edge.errors import RecipeError, TrainingError
from hkd_edge.recipe.foreign import Foreign
from hkd_edge.teachers.onnx_trunk import OnnxTrunk

from .conftest import TAKEN

IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def trunk(path, **keys: object) -> OnnxTrunk:
    return OnnxTrunk(path, Foreign.model_validate({"onnx": str(path), "input": TAKEN} | keys))


def test_scores_are_the_output_and_the_embedding_is_what_the_last_layer_takes(onnx_file, theirs):
    scores, embedding = trunk(onnx_file())(IMAGES)
    torch.testing.assert_close(scores, theirs(IMAGES), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(embedding, theirs[:4](IMAGES), atol=1e-5, rtol=1e-4)


def test_the_last_layer_is_found_behind_a_softmax(onnx_file, theirs):
    scores, embedding = trunk(onnx_file(softmax=True))(IMAGES)
    torch.testing.assert_close(scores, theirs(IMAGES).softmax(1), atol=1e-5, rtol=1e-4)
    assert embedding.shape == (5, 6)


def test_a_tensor_inside_can_be_named_and_maps_are_averaged(onnx_file, theirs):
    _, embedding = trunk(onnx_file(), embedding="r")(IMAGES)
    torch.testing.assert_close(embedding, theirs[:2](IMAGES).mean((2, 3)), atol=1e-5, rtol=1e-4)


def test_the_output_can_be_the_embedding(onnx_file, theirs):
    scores, embedding = trunk(onnx_file(), embedding="output")(IMAGES)
    assert scores is None
    torch.testing.assert_close(embedding, theirs(IMAGES), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_file_for_a_fixed_number_of_images_answers_any_number(onnx_file, theirs, batch):
    scores, embedding = trunk(onnx_file(batch))(IMAGES)
    torch.testing.assert_close(scores, theirs(IMAGES), atol=1e-5, rtol=1e-4)
    assert len(embedding) == 5


@pytest.mark.parametrize(
    ("keys", "error", "expected"),
    [
        (
            {"input": TAKEN.model_copy(update={"size": (16, 24)})},
            TrainingError,
            r"expected an input of shape \(N, 3, 16, 24\), as foreign.input says, got \('n', 3, 16, 16\)",
        ),
        ({"input": TAKEN.model_copy(update={"layout": "nhwc"})}, TrainingError, r"of shape \(N, 16, 16, 3\)"),
        ({"embedding": "featurs"}, RecipeError, r"got 'featurs'\. Did you mean 'features'\? Its outputs: logits\."),
        ({"scores_output": "logit"}, RecipeError, r"expected one of logits, got 'logit'\. Did you mean 'logits'\?"),
    ],
)
def test_what_does_not_fit_the_file_is_told(onnx_file, keys, error, expected):
    with pytest.raises(error, match=expected):
        trunk(onnx_file(), **keys)


def test_a_network_of_other_numbers_is_refused(onnx_file):
    path = onnx_file()
    model = onnx.load(path)
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["u"], ["x"], to=TensorProto.FLOAT))
    model.graph.input[0].name = "u"
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    onnx.save(model, path)
    with pytest.raises(TrainingError, match=r"expected an input of tensor\(float\) or .*, got tensor\(uint8\)"):
        trunk(path)


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"expected an ONNX file, got .*none\.onnx"):
        trunk(tmp_path / "none.onnx")
    (tmp_path / "junk.onnx").write_bytes(np.arange(100, dtype=np.uint8).tobytes())
    with pytest.raises(TrainingError, match=r"expected an? .*junk\.onnx"):
        trunk(tmp_path / "junk.onnx")


def test_a_network_that_ends_otherwise_wants_a_tensor_named(onnx_file):
    path = onnx_file()
    model = onnx.load(path)
    del model.graph.node[2:]
    model.graph.output[0].name = "r"
    onnx.save(model, path)
    with pytest.raises(RecipeError, match=r"whose output 'r' comes from a linear layer .*, got Relu"):
        trunk(path)
