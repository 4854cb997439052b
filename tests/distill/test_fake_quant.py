from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from hkd_edge.data.resident import ResidentData
from hkd_edge.distill import fake_quant
from hkd_edge.distill.fake_quant import insert_fake_quant, remove_fake_quant
from hkd_edge.evaluate.metrics import predict_logits, top1
from hkd_edge.models.build import build
from hkd_edge.models.network import GlobalAveragePool, Network
from hkd_edge.models.staged import ConvBN, MobileBlock
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.to_onnx import to_onnx
from tests.export.hard_case import PLAIN, RESIDUAL, fine_tune, resident_digits, spec_of, trained_student


@pytest.fixture(scope="module")
def data() -> ResidentData:
    return resident_digits()


@pytest.fixture(scope="module")
def student(data: ResidentData, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return trained_student(data, RESIDUAL, tmp_path_factory.mktemp("student") / "student.pt")


def calibration(data: ResidentData) -> torch.Tensor:
    return data.normalize(data.train.images[:200])


def validation_top1(network: Network, data: ResidentData) -> float:
    return top1(predict_logits(network, data.validation.images, data.normalize), data.validation.labels)


def pool_only(*, head: list[list[float]]) -> Network:
    """One pixel and one channel in, the same number as embedding."""
    network = Network(nn.Sequential(GlobalAveragePool()), nn.Linear(len(head[0]), len(head)))
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor(head))
    return network


def pixels(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1)


def test_activations_that_are_never_negative_have_255_steps_from_0() -> None:
    quantized = insert_fake_quant(pool_only(head=[[1.0]]), [pixels(0, 1.0), pixels(2.55)])
    assert torch.allclose(quantized.embed(pixels(0.014, 0.016, 3.0, -1.0)), torch.tensor([[0.01], [0.02], [2.55], [0]]))


def test_activations_of_both_signs_have_127_steps_on_either_side() -> None:
    quantized = insert_fake_quant(pool_only(head=[[1.0]]), [pixels(-1.27, 0.5)])
    rounded = quantized.embed(pixels(-0.014, 0.016, 3.0, -3.0))
    assert torch.allclose(rounded, torch.tensor([[-0.01], [0.02], [1.27], [-1.28]]))


def test_weights_have_127_steps_from_the_smallest_to_the_largest_of_each_output() -> None:
    network = pool_only(head=[[6.35, 0.14, -0.26, 0.0], [-0.635, 0.014, 0.026, 0.0], [0.0, 0.0, 0.0, 0.0]])
    plain = remove_fake_quant(insert_fake_quant(network, [torch.ones(1, 4, 1, 1)]), network)
    expected = torch.tensor([[6.35, 0.1, -0.3, 0.0], [-0.635, 0.01, 0.03, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.allclose(plain.head.weight, expected)


def test_gradients_pass_through_rounding_as_if_it_were_not_there() -> None:
    quantized = insert_fake_quant(pool_only(head=[[1.0]]), [pixels(0, 2.55)])
    images = pixels(0.014, 1.0, 3.0).requires_grad_()
    quantized.embed(images).sum().backward()
    assert images.grad is not None
    assert images.grad.flatten().tolist() == [1.0, 1.0, 0.0]


def test_gradients_of_weights_are_those_of_the_rounded_network() -> None:
    quantized = insert_fake_quant(pool_only(head=[[0.3], [0.7]]), [pixels(0, 2.55)])
    quantized(pixels(2.0)).sum().backward()
    gradients = [p.grad for name, p in quantized.head.named_parameters() if "weight" in name]
    assert torch.allclose(gradients[0], torch.tensor([[2.0], [2.0]]))


def test_ranges_follow_the_batches_while_training_and_stand_still_otherwise() -> None:
    quantized = insert_fake_quant(pool_only(head=[[1.0]]), [pixels(0, 1.0)])
    quantized.eval()(pixels(5.0))
    assert quantized.embed(pixels(9.0)).item() == pytest.approx(1.0)
    quantized.train()(pixels(2.0))
    quantized.eval()
    # 1 % of the way from 1 to 2; behind it 1.01 arrives, and 1 % of that way is gone.
    assert quantized.embed(pixels(9.0)).item() == pytest.approx(1.0001, abs=1e-6)


def test_without_a_batch_there_are_no_ranges() -> None:
    with pytest.raises(ValueError, match=r"batches: expected at least one batch of training images, got none\."):
        insert_fake_quant(pool_only(head=[[1.0]]), [])


def test_the_network_that_came_in_stays_as_it_was(student: Network, data: ResidentData) -> None:
    before = copy.deepcopy(student.state_dict())
    quantized = insert_fake_quant(student, [calibration(data)])
    quantized.train()(calibration(data)).sum().backward()
    remove_fake_quant(quantized, student)
    assert all(torch.equal(before[name], tensor) for name, tensor in student.state_dict().items())


def test_the_plain_network_has_the_state_dict_of_its_architecture(student: Network, data: ResidentData) -> None:
    plain = remove_fake_quant(insert_fake_quant(student, [calibration(data)]), student)
    fresh = build(RESIDUAL, 1, 10)
    fresh.load_state_dict(plain.state_dict())
    images = calibration(data)[:8]
    assert torch.equal(fresh.eval()(images), plain(images))


def test_rounding_at_8_bits_changes_hardly_an_answer(student: Network, data: ResidentData) -> None:
    quantized = insert_fake_quant(student, [calibration(data)])
    before = validation_top1(student, data)
    assert validation_top1(quantized, data) == pytest.approx(before, abs=1.0)
    assert validation_top1(remove_fake_quant(quantized, student), data) == pytest.approx(before, abs=1.0)


def test_training_by_a_teacher_alone_wins_back_what_few_steps_of_weights_cost(
    student: Network, data: ResidentData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_quant, "_WEIGHT_STEPS", 1.5)  # -1, 0 and 1 alone, and the largest
    quantized = insert_fake_quant(student, [calibration(data)])
    before = validation_top1(quantized, data)
    after = fine_tune(quantized, data, tmp_path / "x.pt", epochs=6, learning_rate=0.02, teacher=student)
    assert before < 90
    assert after > before + 5  # how far it comes back differs with the number of threads
    assert validation_top1(remove_fake_quant(quantized, student), data) == pytest.approx(after, abs=1.0)


def test_depthwise_and_biased_convolutions_are_rounded_too() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), MobileBlock(4, 4, 1, 2), ConvBN(4, 6, 2)]
    network = Network(nn.Sequential(*layers, GlobalAveragePool()), nn.Linear(6, 3))
    images = torch.randn(32, 1, 12, 12)
    network.train()(images)
    quantized = insert_fake_quant(network, [images])
    expected = network.eval()(images)
    for rounded in (quantized(images), remove_fake_quant(quantized, network)(images)):
        assert not torch.equal(rounded, expected)
        assert torch.allclose(rounded, expected, atol=0.05 * expected.abs().max().item())


@pytest.fixture(scope="module", params=[RESIDUAL, PLAIN], ids=["residual", "plain"])
def in_both_forms(
    request: pytest.FixtureRequest, data: ResidentData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Network, Network, Path]:
    """A network with fake quantization, the plain one made from it, and the INT8 file made from that."""
    folder = tmp_path_factory.mktemp("forms")
    student = trained_student(data, request.param, folder / "student.pt")
    quantized = insert_fake_quant(student, calibration(data).split(50))
    plain = remove_fake_quant(quantized, student)
    fp32 = to_onnx(plain, spec_of(data), folder / "fp32.onnx")
    images = data.train.images[:200].numpy()
    return quantized, plain, quantize_int8(fp32, folder / "int8.onnx", images, bias_correction=False)


def tensors_of(file: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}


def test_activations_are_rounded_where_the_file_rounds_them_and_by_the_same_steps(
    in_both_forms: tuple[Network, Network, Path],
) -> None:
    quantized, _, file = in_both_forms
    tensors = tensors_of(file)
    nodes = [node for node in onnx.load(file).graph.node if node.op_type == "QuantizeLinear"]
    of_file = sorted((float(tensors[node.input[1]]), tensors[node.input[2]].dtype == np.int8) for node in nodes)
    roundings = [module for module in quantized.modules() if isinstance(module, fake_quant._Rounding)]
    ours = sorted((each.limit.item() / (127 if each.signed else 255), each.signed) for each in roundings)
    assert [signed for _, signed in ours] == [signed for _, signed in of_file]
    assert [step for step, _ in ours] == pytest.approx([step for step, _ in of_file], rel=1e-4)


def test_the_file_has_the_integers_of_the_weights_grid(in_both_forms: tuple[Network, Network, Path]) -> None:
    _, plain, file = in_both_forms
    tensors = tensors_of(file)
    compared = 0
    for name, layer in plain.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            weight = layer.weight.detach().flatten(1)
            expected = weight / (weight.abs().amax(1, keepdim=True) / 63.5)
            integers = torch.from_numpy(tensors[f"q_output_net.{name}.weight_1"].astype(np.float32)).flatten(1)
            inside = expected.abs() < 63.4
            assert torch.allclose(expected[inside], integers[inside], atol=1e-3), name
            assert torch.allclose(expected[~inside], integers[~inside], atol=0.51), name
            compared += 1
    assert compared >= 5


def test_the_file_answers_as_the_network_with_fake_quantization(
    in_both_forms: tuple[Network, Network, Path], data: ResidentData
) -> None:
    quantized, _, file = in_both_forms
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    of_file = session.run(["logits"], {"images": data.validation.images.numpy()})[0]
    ours = predict_logits(quantized, data.validation.images, data.normalize).numpy()
    assert (of_file.argmax(1) == ours.argmax(1)).mean() >= 0.99
    assert np.abs(of_file - ours).max() < 0.05 * np.abs(ours).max()
