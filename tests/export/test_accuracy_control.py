from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from hkd_edge.data.resident import ResidentData
from hkd_edge.models.network import Network
from hkd_edge_export.accuracy_control import NothingQuantizedError, float_layers, quantize_with_accuracy_control
from hkd_edge_export.errors import ExportError
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.to_onnx import to_onnx
from hkd_edge_runtime.files import sha256_file
from tests.export.hard_case import RESIDUAL, rescale_channels, resident_digits, spec_of, trained_student

ALL_LAYERS = ("stem.0", "block.first.0.0", "block.conv", "head")
CALIBRATION_IMAGES = 100


@pytest.fixture(scope="module")
def data() -> ResidentData:
    return resident_digits()


@pytest.fixture(scope="module")
def calibration(data: ResidentData) -> np.ndarray:
    return data.train.images[:CALIBRATION_IMAGES].numpy()


@pytest.fixture(scope="module")
def student(data: ResidentData, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return trained_student(data, RESIDUAL, tmp_path_factory.mktemp("student") / "student.pt")


@pytest.fixture(scope="module")
def hard(student: Network, data: ResidentData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = rescale_channels(student, 5, 0)
    return to_onnx(network, spec_of(data), tmp_path_factory.mktemp("hard") / "fp32.onnx")


@pytest.fixture(scope="module")
def validate(data: ResidentData) -> Callable[[Path], float]:
    """Top-1 in percent on the validation images, by ONNX Runtime."""
    images, labels = data.validation.images.numpy(), data.validation.labels.numpy()

    def top1(file: Path) -> float:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return 100 * float((session.run(["logits"], {"images": images})[0].argmax(1) == labels).mean())

    return top1


def test_the_hard_case_is_the_same_network_in_float_and_collapses_in_int8(
    tmp_path: Path, student: Network, hard: Path, data: ResidentData, calibration: np.ndarray, validate
) -> None:
    images = data.normalize(data.validation.images)
    assert np.allclose(rescale_channels(student, 5, 0)(images).detach(), student(images).detach(), atol=1e-5)
    assert validate(hard) > 95
    assert validate(quantize_int8(hard, tmp_path / "int8.onnx", calibration, bias_correction=False)) < 60


def test_layers_go_back_to_float_until_the_accuracy_is_back(
    tmp_path: Path, hard: Path, calibration: np.ndarray, validate
) -> None:
    result = quantize_with_accuracy_control(
        hard, tmp_path / "int8.onnx", calibration, validate, max_drop=1.0, bias_correction=False
    )
    assert result.path == tmp_path / "int8.onnx"
    assert result.fp32_score == validate(hard)
    assert result.score == validate(result.path) >= result.fp32_score - 1.0
    assert result.float_layers == float_layers(result.path)
    assert 0 < len(result.float_layers) < len(float_layers(hard))


def test_the_same_scores_give_the_same_bytes(tmp_path: Path, hard: Path, calibration: np.ndarray, validate) -> None:
    files = [
        quantize_with_accuracy_control(
            hard, tmp_path / name, calibration, validate, max_drop=1.0, bias_correction=True
        ).path
        for name in ("one.onnx", "other.onnx")
    ]
    assert sha256_file(files[0]) == sha256_file(files[1])


def test_a_network_that_quantizes_well_is_quantized_as_without_control(tmp_path: Path, exported, digits) -> None:
    images = digits.train_images[:CALIBRATION_IMAGES]
    asked = []

    def score(file: Path) -> float:
        asked.append(sha256_file(file))
        return 90.0

    result = quantize_with_accuracy_control(
        exported.fp32, tmp_path / "int8.onnx", images, score, max_drop=0.5, bias_correction=True
    )
    assert result.float_layers == ()
    assert sha256_file(result.path) == sha256_file(exported.int8)
    assert len(set(asked)) == len(asked) == result.validations


def test_the_keywords_of_quantize_int8_are_passed_on(tmp_path: Path, exported, digits) -> None:
    images = digits.train_images[:20]
    keywords = {"bias_correction": False, "ranges": "mean_minmax", "half_range_weights": False}
    result = quantize_with_accuracy_control(
        exported.fp32, tmp_path / "one.onnx", images, lambda file: 90.0, max_drop=0.5, **keywords
    )
    other = quantize_int8(exported.fp32, tmp_path / "other.onnx", images, **keywords)
    assert sha256_file(result.path) == sha256_file(other)


def test_a_file_without_a_quantized_layer_is_refused(tmp_path: Path, exported, digits) -> None:
    fp32, out = sha256_file(exported.fp32), tmp_path / "int8.onnx"
    out.write_bytes(b"the last good file")
    with pytest.raises(
        NothingQuantizedError,
        match=r"accuracy control: expected some layers in INT8 at a score at most 0\.5 below fp32, got none: "
        r"all 4 went back to float\. Train with fake quantization, or ship the float file\.",
    ):
        quantize_with_accuracy_control(
            exported.fp32,
            out,
            digits.train_images[:5],
            lambda file: 90.0 if sha256_file(file) == fp32 else 10.0,
            max_drop=0.5,
            bias_correction=False,
        )
    assert out.read_bytes() == b"the last good file"


def test_what_validation_raises_is_raised(tmp_path: Path, exported, digits) -> None:
    def fail(file: Path) -> float:
        raise OSError("the board does not answer")

    with pytest.raises(OSError, match="the board does not answer"):
        quantize_with_accuracy_control(
            exported.fp32,
            tmp_path / "int8.onnx",
            digits.train_images[:5],
            fail,
            max_drop=0.5,
            bias_correction=False,
        )
    assert list(tmp_path.iterdir()) == []


def test_images_that_do_not_fit_are_refused(tmp_path: Path, exported) -> None:
    images = np.zeros((5, 1, 8, 8), np.uint8)
    with pytest.raises(ExportError, match="calibration: expected at least one uint8 image"):
        quantize_with_accuracy_control(
            exported.fp32, tmp_path / "int8.onnx", images, lambda file: 90.0, max_drop=0.5, bias_correction=False
        )


def test_layers_are_named_as_in_torch_and_the_concepts_are_none(exported) -> None:
    assert float_layers(exported.fp32) == ALL_LAYERS
    assert float_layers(exported.int8) == ()


def test_controlling_prints_nothing(tmp_path: Path, exported, digits, capfd: pytest.CaptureFixture[str]) -> None:
    quantize_with_accuracy_control(
        exported.fp32,
        tmp_path / "int8.onnx",
        digits.train_images[:5],
        lambda file: 90.0,
        max_drop=0.5,
        bias_correction=False,
    )
    assert capfd.readouterr() == ("", "")
