"""The students of docs/students.md, trained for a moment on drawn images, and the files made from them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from hkd_edge.evaluate.artefacts import Artefact
from hkd_edge.models.build import build
from hkd_edge.models.network import Network
from hkd_edge.recipe.architecture import Architecture, spelt_out
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.spec import ExportSpec
from hkd_edge_export.to_onnx import to_onnx
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_runtime.hierarchy import Hierarchy

STUDENTS = Path(__file__).resolve().parents[2] / "docs" / "students.md"
CLASSES = ("rows", "columns", "disc", "checks")
TRAIN_IMAGES, TEST_IMAGES = 160, 100


@dataclass(frozen=True)
class Course:
    """How a student is trained: so long that its answers are clear of ties, by two seeds and more."""

    epochs: int
    batch_size: int = 20
    peak_rate: float = 1e-2


PLAIN_AND_RESIDUAL = Course(epochs=4)
COURSES = {
    "mobile_96": Course(epochs=6, batch_size=10),
    "mobile_224": Course(epochs=5, batch_size=10),
    # At 1e-2 the gates of squeeze and excitation saturate and a few images' activations grow far beyond the others':
    # one 8-bit step for all then left 73 % of the answers as they were, though no single layer was at fault.
    "mobilenet_v3_small": Course(epochs=12, peak_rate=3e-3),
    "resnet18": Course(epochs=3, peak_rate=3e-3),
}


@dataclass(frozen=True)
class Student:
    """One of docs/students.md: the images it is for (height, width, channels), and its architecture."""

    image: tuple[int, int, int]
    architecture: Architecture


@dataclass(frozen=True)
class Made:
    """A trained student, images that it has not seen, its logits for them, and its files."""

    network: Network
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    fp32: Artefact
    int8: Artefact
    fp32_ir: Artefact
    int8_ir: Artefact


def documented() -> dict[str, Student]:
    """The students in the YAML block of docs/students.md, by name."""
    block = re.search(r"^```yaml\n(.*?)^```", STUDENTS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert block is not None
    return {
        name: Student(tuple(entry["image"]), Architecture.model_validate(spelt_out(entry["architecture"])))
        for name, entry in yaml.safe_load(block[1]).items()
    }


def drawn(shape: tuple[int, int, int], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Stripes, discs and checks in two colours with noise: uint8 (N, H, W, C), and their classes in turn."""
    random = np.random.default_rng(seed)
    height, width, channels = shape
    y, x = np.mgrid[0:height, 0:width] / height
    labels = np.arange(count) % len(CLASSES)
    images = np.empty((count, *shape), np.uint8)
    for image, label in zip(images, labels, strict=True):
        rows, columns = (np.sin(20 * axis + random.uniform(0, 6)) > 0 for axis in (y, x))
        disc = np.hypot(y - random.uniform(0.4, 0.6), x - random.uniform(0.4, 0.6)) < 0.25
        figure = (rows, columns, disc, rows ^ columns)[label][..., np.newaxis]
        colours = random.integers(150, 235, channels), random.integers(20, 105, channels)
        image[:] = np.where(figure, *colours) + random.integers(-20, 21, shape)
    return images, labels


def normalised(images: np.ndarray) -> torch.Tensor:
    """Images uint8 (N, H, W, C) as the networks take them: float32 (N, C, H, W), mean and std 0.5."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)


def _train(network: Network, images: torch.Tensor, labels: torch.Tensor, course: Course) -> None:
    optimiser, loss = torch.optim.AdamW(network.parameters()), nn.CrossEntropyLoss()
    steps = course.epochs * len(images) // course.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=course.peak_rate, total_steps=steps)
    network.train()
    for _ in range(course.epochs):
        for batch in torch.randperm(len(images)).split(course.batch_size):
            optimiser.zero_grad()
            loss(network(images[batch]), labels[batch]).backward()
            optimiser.step()
            schedule.step()
    # So few steps leave the running statistics far behind the weights: take them anew, as a plain average.
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    with torch.no_grad():
        for batch in images.split(course.batch_size):
            network(batch)
    network.eval()


@pytest.fixture(scope="session")
def students() -> dict[str, Student]:
    """The students of docs/students.md."""
    return documented()


@pytest.fixture(scope="session")
def documented_table() -> dict[str, dict[str, str]]:
    """The table of docs/students.md: for each student by name, the cells by the head of their columns."""
    lines = [line for line in STUDENTS.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name.strip("`"): dict(zip(head[1:], cells, strict=True)) for name, *cells in rows}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Made]:
    """A documented student by its name, for images of so many channels, trained and exported once."""

    @functools.cache
    def make(name: str, channels: int) -> Made:
        student = documented()[name]
        shape = (*student.image[:2], channels)
        train_images, train_labels = drawn(shape, TRAIN_IMAGES, seed=0)
        images, labels = drawn(shape, TEST_IMAGES, seed=1)
        torch.manual_seed(0)
        network = build(student.architecture, channels, len(CLASSES))
        course = COURSES.get(name, PLAIN_AND_RESIDUAL)
        _train(network, normalised(train_images), torch.from_numpy(train_labels), course)
        with torch.no_grad():
            logits = network(normalised(images)).numpy()
        folder = tmp_path_factory.mktemp(f"{name}_{channels}")
        spec = ExportSpec(*shape, (0.5,) * channels, (0.5,) * channels, Hierarchy(CLASSES))
        fp32 = to_onnx(network, spec, folder / "fp32.onnx")
        int8 = quantize_int8(fp32, folder / "int8.onnx", train_images[:60], bias_correction=False)
        irs = [to_openvino(path, path.with_suffix(".xml")) for path in (fp32, int8)]
        paths = [("onnxruntime", "fp32", fp32), ("onnxruntime", "int8", int8)]
        paths += [("openvino", path.stem, path) for path in irs]
        return Made(network, images, labels, logits, *(Artefact(*each) for each in paths))

    return make
