"""`hkd-edge export` of a bare file: what it makes, what it compares, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from hkd_edge.data.resident import ResidentData
from hkd_edge.delivery import standalone
from hkd_edge.delivery.files import Order
from hkd_edge.delivery.source import Images, Source
from hkd_edge.delivery.standalone import export_file
from hkd_edge.distill.saved import save_student
from hkd_edge.errors import GateError
from hkd_edge.models.network import Network
from hkd_edge_export.ladder import Score
from tests.delivery.conftest import files_below
from tests.export.hard_case import RESIDUAL, spec_of

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def photos(data: ResidentData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(data.train.images[:120, :, :, 0].numpy()):
        Image.fromarray(image).save(folder / f"{number:03}.png")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def checkpoint(student: Network, data: ResidentData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "student.pt"
    save_student(path, student, RESIDUAL, spec_of(data))
    return path


def test_a_students_checkpoint_becomes_files_that_agree_with_it(
    checkpoint: Path, photos: Path, tmp_path: Path, hkd_edge: Command
) -> None:
    arguments = ("--target", "ort", "--target", "ov", "--max-drop", "2")
    result = hkd_edge("export", checkpoint, *arguments, "--images", photos, "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    compared = {(one["target"], one["precision"]): one["percent"] for one in record["agreement_with_fp32"]}
    assert set(compared) == {
        *(("onnxruntime", precision) for precision in ("fp32", "int8")),
        *(("openvino", precision) for precision in ("fp32", "fp16", "int8")),
    }
    assert min(compared.values()) >= 98
    assert (record["calibration_images"], record["compared_images"]) == (60, 60)
    assert "int8.onnx: " in result.stdout


def test_an_onnx_file_without_images_gets_float_files_and_says_that_nothing_was_compared(
    easy: Source, tmp_path: Path, hkd_edge: Command
) -> None:
    result = hkd_edge("export", easy.fp32, "--target", "openvino", "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    names = {f"openvino/{name}" for name in ("fp32.xml", "fp32.bin", "fp16.xml", "fp16.bin")}
    assert files_below(tmp_path / "out") == names | {"export.json"}
    assert result.stdout.count("not compared with fp32: give --images FOLDER") == 2


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(easy: Source, tmp_path: Path, hkd_edge: Command) -> None:
    result = hkd_edge("export", easy.fp32, "--target", "engine", "--dry-run", "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert f"would make {tmp_path / 'out' / 'tensorrt' / 'fp16.onnx'}" in result.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "arguments", "code", "message"),
    [
        (b"<html>", (), 8, "expected an ONNX file, but it cannot be decoded"),
        (None, ("--precision", "int8"), 5, "expected images for int8"),
        (None, ("--images", "nowhere"), 5, "expected a folder of images, got nothing"),
        (None, ("--set", "seed=1"), 2, "with a recipe or run only"),
    ],
)
def test_bad_input_is_one_message_with_its_own_exit_code(
    easy: Source,
    tmp_path: Path,
    hkd_edge: Command,
    content: bytes | None,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(easy.fp32.read_bytes() if content is None else content)
    result = hkd_edge("export", file, *arguments, "--target", "onnx", "-o", tmp_path / "out")
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_another_checkpoint_than_a_students_is_refused(tmp_path: Path, hkd_edge: Command) -> None:
    import torch

    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    result = hkd_edge("export", tmp_path / "other.pt", "-o", tmp_path / "out")
    assert result.returncode == 7
    assert "expected a student of format hkd-edge-student 1" in result.stderr


def test_files_that_answer_otherwise_than_fp32_are_an_error(
    easy: Source, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Images, "score", lambda self, artefact: Score(46.8, len(self.labels)))
    with pytest.raises(GateError, match=r"onnxruntime fp32: 46\.80 %"):
        export_file(easy.fp32, Order(("onnxruntime",), ("fp32",), 0.5), tmp_path, photos, lambda line: None)
    assert standalone.RECORD_NAME in files_below(tmp_path)
