"""`hkd-edge validate` on real runs and bundles, good ones and ones that were spoilt on purpose."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hkd_edge.cli import cli
from hkd_edge.evaluate.result import Validation, read_validation
from hkd_edge_runtime.errors import HkdEdgeError
from hkd_edge_runtime.evaluation import read_evaluation
from hkd_edge_runtime.manifest import read_manifest

GATES_FAILED = 9
FAST = ("--set", "validate.latency_runs=20")


@dataclass(frozen=True)
class Result:
    """What the console script would end with."""

    returncode: int
    stderr: str


def called(*words: str | Path) -> Result:
    """`hkd-edge` in this process, which has its packages imported already."""
    result = CliRunner().invoke(cli, [*map(str, words)])
    if isinstance(result.exception, HkdEdgeError):
        return Result(result.exception.exit_code, f"{result.stderr}{result.exception}")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Result(result.exit_code, result.stderr)


@pytest.fixture
def run(digits_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(digits_run, tmp_path / "run")


def failed_gates(validation: Validation) -> set[tuple[str, str]]:
    return {(gate.name, gate.subject) for gate in validation.failed_gates}


def test_a_good_run_passes_and_nothing_in_it_is_made_again(run: Path, tmp_path: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.is_file()}
    result = called("validate", run, *FAST, "--junit", tmp_path / "gates.xml", "--json", tmp_path / "gates.json")
    assert result.returncode == 0, result.stderr
    changed = {file.name for file in run.rglob("*") if file.is_file() and before.get(file) != file.stat().st_mtime_ns}
    assert changed >= {"validation.json", "answers.npz"}
    assert not {file.name for file in before if file.name in changed} & {"recipe.yaml", "student.pt", "int8.onnx"}
    assert json.loads((tmp_path / "gates.json").read_text())["verdict"] == "passed"
    assert ElementTree.parse(tmp_path / "gates.xml").getroot().get("failures") == "0"
    assert ("unchanged", "passed") in {(gate.name, gate.status) for gate in read_validation(run).gates}


def test_a_damaged_int8_fails_the_gates_of_accuracy_and_is_named(run: Path) -> None:
    path = run / "artefacts" / "onnxruntime" / "int8.onnx"
    damage_weights(path)
    result = called("validate", run, "--target", "ort", *FAST)
    assert result.returncode == GATES_FAILED, result.stderr
    validation = read_validation(run)
    failed = failed_gates(validation)
    assert ("unchanged", "artefacts/onnxruntime/int8.onnx") in failed
    assert ("min_agreement", "onnxruntime int8") in failed
    assert ("max_top1_drop", "onnxruntime int8") in failed
    assert {subject for name, subject in failed if name != "unchanged"} == {"onnxruntime int8"}
    assert (
        "onnxruntime int8: min_agreement: expected to answer >= 97 % of the images like the reference" in result.stderr
    )
    assert [row.title for row in validation.rows if row.shipped] == ["onnxruntime fp32"]


def test_a_truncated_file_is_one_message_with_the_exit_code_of_gates(run: Path) -> None:
    path = run / "artefacts" / "onnxruntime" / "int8.onnx"
    path.write_bytes(path.read_bytes()[:1000])
    result = called("validate", run, "-t", "onnxruntime", *FAST)
    assert result.returncode == GATES_FAILED
    assert "unchanged: artefacts/onnxruntime/int8.onnx: expected the file that stage export wrote" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_swapped_student_fails_agreement_of_every_artefact(run: Path) -> None:
    path = run / "student" / "student.pt"
    stored = torch.load(path, weights_only=True)
    draw = torch.Generator().manual_seed(0)
    for name, weights in stored["weights"].items():
        if weights.ndim > 1:
            stored["weights"][name] = weights[torch.randperm(len(weights), generator=draw)]
    torch.save(stored, path)
    result = called("validate", run, *FAST)
    assert result.returncode == GATES_FAILED, result.stderr
    failed = failed_gates(read_validation(run))
    assert ("unchanged", "student/student.pt") in failed
    assert {subject for name, subject in failed if name == "min_agreement"} == {
        row.title for row in read_validation(run).rows
    }


def test_a_slow_artefact_fails_latency(run: Path) -> None:
    quick = read_validation(run).rows[1].latency
    assert quick is not None
    limit = 5 * quick.p95_ms
    slow_down(run / "artefacts" / "onnxruntime" / "int8.onnx")
    result = called("validate", run, "--target", "ort", "--max-p95-ms", f"{limit:.3f}", *FAST)
    assert result.returncode == GATES_FAILED, result.stderr
    failed = failed_gates(read_validation(run))
    assert failed == {("unchanged", "artefacts/onnxruntime/int8.onnx"), ("max_p95_ms", "onnxruntime int8")}
    assert "onnxruntime int8: max_p95_ms: expected p95 of one image <= " in result.stderr


def test_a_slower_int8_fails_where_that_was_asked_for(run: Path) -> None:
    slow_down(run / "artefacts" / "onnxruntime" / "int8.onnx")
    result = called("validate", run, "--target", "ort", "--int8-must-be-faster", *FAST)
    assert result.returncode == GATES_FAILED, result.stderr
    assert ("int8_must_be_faster", "onnxruntime int8") in failed_gates(read_validation(run))


def test_gates_of_size_and_memory_fail_what_is_too_big(run: Path) -> None:
    result = called("validate", run, "-t", "ort", "--max-size-bytes", "100", "--max-rss-mb", "1", *FAST)
    assert result.returncode == GATES_FAILED, result.stderr
    assert failed_gates(read_validation(run)) == {
        ("max_size_bytes", "onnxruntime int8"),
        ("max_rss_mb", "onnxruntime int8"),
    }


def test_a_run_without_artefacts_says_how_to_make_them(tmp_path: Path) -> None:
    assert called("data", "digits", "-o", tmp_path / "run").returncode == 0
    result = called("validate", tmp_path / "run")
    assert result.returncode == 6
    assert "got one without stage concepts. Run: hkd-edge export" in result.stderr


def test_a_bundle_is_validated_by_the_data_set_that_it_was_made_from(digits_run: Path, tmp_path: Path) -> None:
    result = called("validate", digits_run / "bundle", "-o", tmp_path / "out", "-t", "ort")
    assert result.returncode == 0, result.stderr
    validation = read_validation(tmp_path / "out")
    assert (validation.subject, validation.images) == ("bundle", "all 450 test images of digits")
    of_run = {row.title: row for row in read_validation(digits_run).rows}
    for row in validation.rows:
        assert row.test.top1 == of_run[row.title].test.top1
        assert row.shipped == of_run[row.title].shipped
    assert validation.reference.title == "onnxruntime fp32"


def test_a_bundle_is_validated_by_a_folder_of_labelled_images(digits_run: Path, tmp_path: Path) -> None:
    manifest = read_manifest(digits_run / "bundle")
    subset = read_evaluation(digits_run / "bundle", manifest)
    assert subset is not None
    for number, (image, label) in enumerate(zip(subset.images, subset.labels, strict=True)):
        folder = tmp_path / "images" / manifest.labels[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{number}.png")
    result = called(
        *("validate", digits_run / "bundle", "--data", tmp_path / "images", "-t", "ort", "-o", tmp_path / "out")
    )
    assert result.returncode == 0, result.stderr
    validation = read_validation(tmp_path / "out")
    assert validation.images == "200 images of the folder images"
    assert validation.rows[0].test.images == 200


def test_a_damaged_bundle_is_refused_before_anything_is_measured(digits_run: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(digits_run / "bundle", tmp_path / "bundle")
    damage_weights(next(bundle.rglob("int8.onnx")))
    result = called("validate", bundle)
    assert result.returncode == 10
    assert "int8.onnx" in result.stderr


def damage_weights(path: Path) -> None:
    """Shuffles the largest tensor of an ONNX file, which stays a valid model."""
    model = onnx.load(path)
    tensor = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    values = numpy_helper.to_array(tensor).copy()
    np.random.default_rng(0).shuffle(values.reshape(-1))
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)


def slow_down(path: Path, size: int = 400, steps: int = 12) -> None:
    """Adds work to an ONNX file whose result does not change the answers: products of matrices, times 0."""
    model = onnx.load(path)
    graph = model.graph
    (last,) = [node for node in graph.node if "logits" in node.output]
    last.output[list(last.output).index("logits")] = "quick_logits"
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == "logits":
                node.input[index] = "quick_logits"
    matrix = np.full((size, size), 1 / size, np.float32)
    graph.initializer.extend(
        [numpy_helper.from_array(matrix, "slow_matrix"), numpy_helper.from_array(np.float32(0), "slow_zero")]
    )
    nodes = [
        helper.make_node("Cast", ["images"], ["slow_floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["slow_floats"], ["slow_mean"], keepdims=0),
        helper.make_node("Mul", ["slow_matrix", "slow_mean"], ["slow_0"]),
        *(helper.make_node("MatMul", [f"slow_{step}", "slow_matrix"], [f"slow_{step + 1}"]) for step in range(steps)),
        helper.make_node("ReduceMean", [f"slow_{steps}"], ["slow_result"], keepdims=0),
        helper.make_node("Mul", ["slow_result", "slow_zero"], ["slow_nothing"]),
        helper.make_node("Add", ["quick_logits", "slow_nothing"], ["logits"]),
    ]
    place = list(graph.node).index(last) + 1
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*kept[:place], *nodes, *kept[place:]])
    onnx.checker.check_model(model)
    onnx.save(model, path)
