"""From a network to the files of each target: which are made, how INT8 earns its place, what is recorded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hkd_edge.delivery import files as files_module
from hkd_edge.delivery import int8
from hkd_edge.delivery.files import Delivered, Order, deliver, recorded_artefacts
from hkd_edge.delivery.source import Source
from hkd_edge.recipe.delivery import TensorRt, Validate
from hkd_edge_export.errors import ExportError
from hkd_edge_export.ladder import Rung
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.lint_int8 import UNSIGNED_INT8_RULES
from hkd_edge_export.lint_tensorrt import TENSORRT_INT8_RULES
from hkd_edge_export.to_tensorrt import missing_reason
from hkd_edge_runtime.files import sha256_file
from tests.delivery.conftest import files_below

ALL = Order(("onnxruntime", "openvino", "tensorrt"), ("fp32", "fp16", "int8"), 1.0)
CPU_FILES = {
    *("onnxruntime/fp32.onnx", "onnxruntime/int8.onnx"),
    *(f"openvino/{name}" for name in ("fp32.xml", "fp32.bin", "fp16.xml", "fp16.bin", "int8.xml", "int8.bin")),
}


def silent(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("delivered")


@pytest.fixture(scope="module", autouse=True)
def delivered(easy: Source, folder: Path) -> Delivered:
    return deliver(easy, ALL, folder, silent)


def test_each_target_gets_its_files_and_nothing_else_is_left(folder: Path) -> None:
    files = {file for file in files_below(folder) if ".plan" not in file}
    assert files == CPU_FILES | {f"tensorrt/{name}.onnx" for name in ("fp32", "fp16", "int8")}


def test_int8_files_keep_the_rules_of_their_target(folder: Path) -> None:
    lint_onnx(folder / "onnxruntime" / "int8.onnx", rules=UNSIGNED_INT8_RULES)
    lint_onnx(folder / "tensorrt" / "int8.onnx", rules=TENSORRT_INT8_RULES)


def test_every_artefact_answers_with_the_accuracy_of_fp32(easy: Source, folder: Path, delivered: Delivered) -> None:
    assert easy.validation is not None
    scores = {(each.target, each.precision): easy.validation.score(each).top1 for each in delivered.artefacts}
    assert len(scores) == 8
    assert min(scores.values()) >= scores["onnxruntime", "fp32"] - ALL.max_drop
    assert delivered.artefacts == tuple(recorded_artefacts(delivered.record, folder))


def test_the_same_source_gives_the_same_bytes(easy: Source, folder: Path, tmp_path: Path) -> None:
    deliver(easy, ALL, tmp_path, silent)
    for name in CPU_FILES | {"tensorrt/int8.onnx"}:
        assert sha256_file(tmp_path / name) == sha256_file(folder / name), name


@pytest.mark.skipif(missing_reason() is not None, reason=str(missing_reason()))
def test_tensorrt_files_are_parsed_and_built_for_the_capabilities_of_the_recipe(easy: Source, tmp_path: Path) -> None:
    settings = TensorRt(opt_batch=4, max_batch=8, compute_capabilities=("8.6",))
    order = Order(("tensorrt",), ("fp32", "int8"), 1.0, settings)
    delivered = deliver(easy, order, tmp_path, silent)
    engines = [entry["engine"] for entry in delivered.record["tensorrt"]]
    assert [engine["precision"] for engine in engines] == ["fp32", "int8"]
    for engine, entry in zip(engines, delivered.record["tensorrt"], strict=True):
        assert engine["profile"] == {"min": 1, "opt": 4, "max": 8}
        assert engine["compute_capabilities"] == ("8.6",)
        assert (tmp_path / "tensorrt" / engine["plan"]).stat().st_size == engine["size_bytes"]
        assert "--maxShapes=images:8x8x8x1" in entry["on_the_board"]


def test_without_tensorrt_its_files_are_made_and_what_remains_is_said(
    easy: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "missing_reason", lambda: "expected TensorRT, found neither")
    lines: list[str] = []
    delivered = deliver(easy, Order(("tensorrt",), ("fp32", "fp16"), 1.0), tmp_path, lines.append)
    assert files_below(tmp_path) == {"tensorrt/fp32.onnx", "tensorrt/fp16.onnx"}
    assert [entry["not_built"] for entry in delivered.record["tensorrt"]] == ["expected TensorRT, found neither"] * 2
    assert any("expected TensorRT, found neither" in line for line in lines)
    assert any("trtexec --onnx=fp16.onnx" in line for line in lines)


def test_the_ladder_brings_the_hard_case_back_on_every_target(hard: Source, tmp_path: Path) -> None:
    delivered = deliver(hard, ALL, tmp_path, silent)
    for target in ALL.targets:
        ladder = delivered.record["int8"][target]
        first = ladder["trials"][0]
        assert (first["rung"], first["chosen"]) == ("ptq", False)
        assert first["drop"] > 10, target
        (chosen,) = (trial for trial in ladder["trials"] if trial["chosen"])
        assert chosen["drop"] <= ALL.max_drop
        assert chosen["seconds"] > 0


def test_where_channels_cannot_be_equalized_sensitive_layers_stay_in_float(hard: Source, tmp_path: Path) -> None:
    bare = dataclasses.replace(hard, equalized=None)
    delivered = deliver(bare, Order(("onnxruntime",), ("fp32", "int8"), 1.0), tmp_path, silent)
    (chosen,) = (trial for trial in delivered.record["int8"]["onnxruntime"]["trials"] if trial["chosen"])
    assert chosen["rung"] == "accuracy control"
    assert chosen["float_layers"]
    assert chosen["drop"] <= 1.0


def test_a_file_that_misses_another_gate_is_not_taken_for_its_small_drop(hard: Source, tmp_path: Path) -> None:
    # 100 points of top-1 are allowed, so that only agreement can refuse what plain quantization makes of the hard case.
    order = Order(("onnxruntime",), ("fp32", "int8"), 100.0, gates=Validate(max_class_drop=100.0, min_agreement=98.0))
    trials = deliver(hard, order, tmp_path, silent).record["int8"]["onnxruntime"]["trials"]
    assert "but expected to answer >= 98 % of the images like the reference, got" in trials[0]["reason"]
    (chosen,) = (trial for trial in trials if trial["chosen"])
    assert chosen["rung"] == "ptq, equalized channels"
    assert not chosen["fault"]


def test_where_no_way_holds_fp16_takes_the_place_of_int8(
    hard: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_rungs = int8.Int8Maker._rungs
    monkeypatch.setattr(int8.Int8Maker, "_rungs", lambda self, *arguments: first_rung(all_rungs(self, *arguments)))
    order = Order(("onnxruntime", "openvino"), ("fp32", "int8"), 1.0)
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "int8.onnx").write_text("of an earlier export")
    lines: list[str] = []
    delivered = deliver(hard, order, tmp_path, lines.append)
    made = {(each.target, each.precision) for each in delivered.artefacts}
    assert made == {("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "fp16")}
    assert not (tmp_path / "onnxruntime" / "int8.onnx").exists()
    assert "openvino: fp16 takes the place of int8" in lines


def first_rung(rungs: list[Rung]) -> list[Rung]:
    return rungs[:1]


def test_an_error_leaves_earlier_files_and_no_work_folder(easy: Source, folder: Path) -> None:
    before = {name: sha256_file(folder / name) for name in files_below(folder)}
    empty = dataclasses.replace(easy, calibration=easy.calibration[:0])
    with pytest.raises(ExportError, match="at least one uint8 image"):
        deliver(empty, ALL, folder, silent)
    assert {name: sha256_file(folder / name) for name in files_below(folder)} == before


def test_a_combination_without_kernels_is_said_and_not_made(easy: Source, tmp_path: Path) -> None:
    lines: list[str] = []
    delivered = deliver(easy, Order(("onnxruntime",), ("fp32", "fp16"), 1.0), tmp_path, lines.append)
    assert [each.precision for each in delivered.artefacts] == ["fp32"]
    assert lines == ["onnxruntime gets no fp16: it would compute it no faster than fp32"]
