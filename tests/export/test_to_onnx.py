from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from hkd_edge_export.errors import ExportError
from hkd_edge_export.spec import ExportSpec
from hkd_edge_export.to_onnx import to_onnx
from hkd_edge_runtime.files import sha256_file
from hkd_edge_runtime.hierarchy import Hierarchy

Run = Callable[[Path, np.ndarray], dict[str, np.ndarray]]
# What fp32 kernels of different summation order differ by, with a margin of about 10.
MAX_LOGIT_ERROR = 1e-4


class Head(nn.Module):
    """A network that ends in the function under test."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor], width: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.conv(x))


def test_onnxruntime_gives_the_logits_of_torch(exported, run: Run, digits, torch_logits) -> None:
    logits = run(exported.fp32, digits.test_images)["logits"]
    assert np.abs(logits - torch_logits).max() < MAX_LOGIT_ERROR
    assert (torch_logits.argmax(1) == digits.test_labels).mean() > 0.85


def test_concept_probabilities_are_the_mass_of_their_classes(exported, run: Run, digits, spec) -> None:
    answers = run(exported.fp32, digits.test_images)
    even, odd, one_hole, two_holes = answers["concept_probabilities"].T
    by_hand = answers["probabilities"]
    np.testing.assert_allclose(even, by_hand[:, [0, 2, 4, 6, 8]].sum(1), atol=1e-6)
    np.testing.assert_allclose(even + odd, 1, atol=1e-5)
    np.testing.assert_allclose(one_hole, by_hand[:, [0, 6, 9]].sum(1), atol=1e-6)
    np.testing.assert_allclose(two_holes, by_hand[:, 8], atol=1e-6)


def test_no_concepts_give_no_concept_output(tmp_path: Path, net, run: Run, digits) -> None:
    spec = ExportSpec(8, 8, 1, (0.3,), (0.4,), Hierarchy(tuple("0123456789")))
    path = to_onnx(net, spec, tmp_path / "net.onnx")
    assert list(run(path, digits.test_images[:3])) == ["logits", "probabilities"]


def test_each_colour_channel_has_its_own_mean_and_std(tmp_path: Path, run: Run, spec) -> None:
    colour = ExportSpec(8, 8, 3, (0.1, 0.5, 0.9), (0.2, 0.4, 0.6), Hierarchy(("r", "g", "b")))

    class Means(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

    path = to_onnx(Means(), colour, tmp_path / "means.onnx")
    image = np.full((1, 8, 8, 3), (0, 128, 255), np.uint8)
    expected = [(0 - 0.1) / 0.2, (128 / 255 - 0.5) / 0.4, (1 - 0.9) / 0.6]
    np.testing.assert_allclose(run(path, image)["logits"], [expected], atol=1e-5)


def test_batch_norms_are_folded(exported) -> None:
    operators = [node.op_type for node in onnx.load(exported.fp32).graph.node]
    assert "BatchNormalization" not in operators
    assert operators.count("Conv") == 3


def test_the_cast_comes_first_and_nodes_have_plain_names(exported) -> None:
    names = [node.name for node in onnx.load(exported.fp32).graph.node]
    assert names[:5] == ["cast_0", "transpose_0", "mul_0", "add_0", "conv_0"]
    assert names[-3:] == ["gemm_0", "softmax_0", "matmul_0"]


def test_the_same_weights_give_the_same_bytes_and_the_callers_model_is_left_alone(
    tmp_path: Path, exported, net, spec
) -> None:
    # `exported` was quantized meanwhile: NNCF must not have changed how torch exports.
    mine = copy.deepcopy(net).train()
    again = to_onnx(mine, spec, tmp_path / "again.onnx")
    assert sha256_file(again) == sha256_file(exported.fp32)
    assert mine.training
    assert all(torch.equal(mine.state_dict()[name], tensor) for name, tensor in net.state_dict().items())


def test_no_file_tells_of_the_machine_that_made_it(exported) -> None:
    folders = [exported.fp32.parent, Path.cwd(), Path.home(), Path(sys.prefix), Path(__file__).parent]
    secrets = [str(folder) for folder in folders if len(str(folder)) > 3]
    for path in exported.fp32.parent.iterdir():
        content = path.read_bytes()
        found = [text for text in (*secrets, "site-packages", "conftest") if text.encode() in content]
        assert not found, path.name


def test_a_network_that_views_its_features_is_exported(tmp_path: Path, run: Run, digits) -> None:
    spec = ExportSpec(8, 8, 1, (0.3,), (0.4,), Hierarchy(tuple(str(index) for index in range(640))))
    model = Head(lambda x: x.view(x.size(0), -1))
    path = to_onnx(model, spec, tmp_path / "view.onnx")
    assert run(path, digits.test_images[:5])["logits"].shape == (5, 640)


def test_the_exporter_prints_nothing_and_control_flow_is_refused_with_its_reason(
    tmp_path: Path, net, spec, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    to_onnx(net, spec, tmp_path / "net.onnx")
    model = Head(lambda x: x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3)))
    with pytest.raises(ExportError, match="the exporter fails: Could not guard on data-dependent"):
        to_onnx(model, spec, tmp_path / "no.onnx")
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_network_of_other_classes_is_refused(tmp_path: Path, spec) -> None:
    model = Head(lambda x: x.mean((2, 3)), width=7)
    with pytest.raises(ExportError, match=r"expected logits of shape \(2, 10\) .* got \(2, 7\)"):
        to_onnx(model, spec, tmp_path / "net.onnx")


def test_a_network_of_other_channels_is_refused(tmp_path: Path, spec) -> None:
    with pytest.raises(ExportError, match=r"takes normalised images \(N, 1, 8, 8\), but it fails"):
        to_onnx(nn.Conv2d(3, 10, 3), spec, tmp_path / "net.onnx")


def test_an_opset_that_torch_replaces_in_silence_is_refused(tmp_path: Path, net, spec) -> None:
    with pytest.raises(ExportError, match="expected opset 13 and no other operator set, got"):
        to_onnx(net, spec, tmp_path / "net.onnx", opset=13)


def test_a_failing_export_leaves_the_existing_file_and_nothing_else(tmp_path: Path, spec) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"the last good export")
    with pytest.raises(ExportError, match="symbolic batch"):
        to_onnx(Head(lambda x: x.reshape(2, 10, -1).mean(2)), spec, path)
    assert path.read_bytes() == b"the last good export"
    assert list(tmp_path.iterdir()) == [path]
