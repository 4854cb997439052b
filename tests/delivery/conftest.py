"""A student trained on digits, its fp32 file, and the same in a form that plain INT8 ruins."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd_edge.data.resident import ResidentData
from hkd_edge.delivery.source import Images, Source
from hkd_edge.distill.equalize import equalize
from hkd_edge.models.network import Network
from hkd_edge_export.to_onnx import to_onnx
from tests.export.hard_case import RESIDUAL, rescale_channels, resident_digits, spec_of, trained_student

CALIBRATION_IMAGES = 100


@pytest.fixture(scope="session")
def data() -> ResidentData:
    return resident_digits()


@pytest.fixture(scope="session")
def validation(data: ResidentData) -> Images:
    return Images(data.validation.images.numpy(), data.validation.labels.numpy())


@pytest.fixture(scope="session")
def student(data: ResidentData, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return trained_student(data, RESIDUAL, tmp_path_factory.mktemp("student") / "student.pt")


@pytest.fixture(scope="session")
def easy(student: Network, data: ResidentData, validation: Images, tmp_path_factory: pytest.TempPathFactory) -> Source:
    fp32 = to_onnx(student, spec_of(data), tmp_path_factory.mktemp("easy") / "fp32.onnx")
    return Source(fp32, data.train.images[:CALIBRATION_IMAGES].numpy(), validation)


@pytest.fixture(scope="session")
def hard(student: Network, data: ResidentData, validation: Images, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The same answers in fp32 from channels of very different size."""
    network, spec = rescale_channels(student, 5, 0), spec_of(data)
    fp32 = to_onnx(network, spec, tmp_path_factory.mktemp("hard") / "fp32.onnx")
    return Source(
        fp32,
        data.train.images[:CALIBRATION_IMAGES].numpy(),
        validation,
        equalized=lambda path: to_onnx(equalize(network), spec, path),
    )


def files_below(folder: Path) -> set[str]:
    """The names of all files below a folder, hidden ones too, relative to it."""
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
