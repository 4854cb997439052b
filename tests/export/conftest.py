"""A small residual network, trained for seconds on scikit-learn's digits, and the files made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.spec import ExportSpec
from hkd_edge_export.to_onnx import to_onnx
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_runtime.hierarchy import Hierarchy
from hkd_edge_runtime.telemetry import block_telemetry

CALIBRATION_IMAGES = 100
DIGITS = {
    "classes": [str(digit) for digit in range(10)],
    "axes": {
        "parity": {"even": ["0", "2", "4", "6", "8"], "odd": ["1", "3", "5", "7", "9"]},
        "holes": {"one": ["0", "6", "9"], "two": ["8"]},
    },
}


@dataclass(frozen=True)
class Digits:
    """uint8 images (N, 8, 8, 1) and their classes; the last 500 are for tests only."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True)
class Exported:
    fp32: Path
    int8: Path
    fp32_ir: Path
    int8_ir: Path


class Block(nn.Module):
    """Batch norms both inside a Sequential and as attributes, as in other people's networks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)), nn.ReLU()
        )
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.norm(self.conv(self.first(x))))


class Net(nn.Module):
    def __init__(self, channels: int = 1, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.block = Block(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.stem(x)).mean((2, 3)))


def normalised(images: np.ndarray, spec: ExportSpec) -> torch.Tensor:
    """What training feeds the network: float32 (N, C, H, W), independent of the exported preprocessing."""
    pixels = (images.astype(np.float64) / 255 - np.array(spec.mean)) / np.array(spec.std)
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))


@pytest.fixture(scope="session")
def digits() -> Digits:
    data = load_digits()
    images = np.round(data.images * 255 / 16).astype(np.uint8)[..., np.newaxis]
    return Digits(images[:-500], data.target[:-500], images[-500:], data.target[-500:])


@pytest.fixture(scope="session")
def spec() -> ExportSpec:
    return ExportSpec(8, 8, 1, (0.305,), (0.376,), Hierarchy.from_dict(DIGITS))


@pytest.fixture(scope="session")
def net(digits: Digits, spec: ExportSpec) -> Net:
    torch.manual_seed(0)
    model, loss = Net(), nn.CrossEntropyLoss()
    images, labels = normalised(digits.train_images, spec), torch.from_numpy(digits.train_labels)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(6):
        for batch in torch.randperm(len(images)).split(32):
            optimiser.zero_grad()
            loss(model(images[batch]), labels[batch]).backward()
            optimiser.step()
    return model.eval()


@pytest.fixture(scope="session")
def torch_logits(net: Net, digits: Digits, spec: ExportSpec) -> np.ndarray:
    with torch.no_grad():
        return net(normalised(digits.test_images, spec)).numpy()


@pytest.fixture(scope="session")
def exported(net: Net, digits: Digits, spec: ExportSpec, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    fp32 = to_onnx(net, spec, folder / "fp32.onnx")
    calibration = digits.train_images[:CALIBRATION_IMAGES]
    int8 = quantize_int8(fp32, folder / "int8.onnx", calibration, bias_correction=True)
    irs = [to_openvino(path, path.with_suffix(".xml")) for path in (fp32, int8)]
    return Exported(fp32, int8, *irs)


@pytest.fixture(scope="session")
def run() -> Callable[[Path, np.ndarray], dict[str, np.ndarray]]:
    """Answers by the name of the output, from ONNX Runtime for .onnx and from OpenVINO for .xml."""
    return lambda path, images: (_run_onnxruntime if path.suffix == ".onnx" else _run_openvino)(path, images)


def _run_onnxruntime(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


def _run_openvino(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    block_telemetry()
    import openvino

    # On CPUs with bf16, OpenVINO would compute in it.
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answers = compiled({"images": images})
    return {port.get_any_name(): answers[port] for port in compiled.outputs}
