"""The main job on real images: what a run leaves, that nothing is done twice, and that a kill costs nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hkd_edge.evaluate.result import read_answers, read_validation
from hkd_edge_runtime import load
from hkd_edge_runtime.evaluation import evaluate, read_evaluation
from hkd_edge_runtime.files import sha256_file
from hkd_edge_runtime.golden import read_golden
from hkd_edge_runtime.manifest import read_manifest
from hkd_edge_runtime.tensorrt.record import BatchProfile

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("data", "concepts", "teach", "distill", "export", "validate", "bundle", "report")
ONE_TARGET = ("--set", "export.targets=[onnxruntime]")
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from hkd_edge.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def wait_for(path: Path, process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Until `path` is there and the process is still at work."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, f"no {path} after {seconds} s"
        time.sleep(0.005)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_validation_has_a_whole_row_for_each_artefact(digits_run: Path) -> None:
    rows = read_validation(digits_run).rows
    assert [(row.target, row.precision) for row in rows] == [
        *(("onnxruntime", precision) for precision in ("fp32", "int8")),
        *((target, precision) for target in ("openvino", "tensorrt") for precision in ("fp32", "fp16", "int8")),
    ]
    for row in rows:
        assert (row.test.images, row.choice and row.choice.images) == (450, 269)
        assert row.test.top1 > 90
        assert row.test.top1_interval.low < row.test.top1 < row.test.top1_interval.high
        assert row.test.concept_mean is not None
        assert row.test.concept_mean > row.test.top1
        assert len(row.test.classes) == len(row.test_difference.class_drop) == 10
        assert row.reason
        for file in row.files:
            assert sha256(digits_run / file.path) == file.sha256
        if row.target != "tensorrt":
            one, many = row.timings
            assert (one.batch, many.batch) == (1, 64)
            assert 0 < one.min_ms <= one.p50_ms <= one.p90_ms <= one.p95_ms <= one.p99_ms < many.p50_ms * 10
            assert row.cold_start is not None
            assert row.cold_start.load_ms > one.p50_ms


def test_the_answers_are_kept_with_the_accuracy_that_is_told(digits_run: Path) -> None:
    validation, answers = read_validation(digits_run), read_answers(digits_run)
    labels = answers["labels"]
    for row in validation.rows:
        assert 100 * np.mean(answers[row.array].argmax(axis=1) == labels) == pytest.approx(row.test.top1)
    assert 100 * np.mean(answers["reference"].argmax(axis=1) == labels) == validation.reference.test.top1
    assert answers["concept_teacher"].shape == (450, 5)
    wrong = answers["mistakes"]
    assert np.all(answers["reference"][wrong].argmax(axis=1) != labels[wrong])
    assert len(answers["seconds-onnxruntime-int8-1"]) == 100


def test_what_cannot_run_here_is_judged_by_its_numbers_but_neither_timed_nor_shipped(digits_run: Path) -> None:
    rows = [row for row in read_validation(digits_run).rows if row.target == "tensorrt"]
    assert [row.accurate for row in rows] == [True, True, True]
    for row in rows:
        assert (row.timings, row.cold_start, row.shipped) == ((), None, False)
        assert row.runtime.startswith("onnxruntime ")
        assert row.runtime.endswith(" in the place of tensorrt")
        assert (
            row.reason == "not run on a GPU yet: the board builds its engine at first use and checks the golden images"
        )


def test_all_gates_of_a_good_run_hold(digits_run: Path) -> None:
    validation = read_validation(digits_run)
    assert (validation.verdict, validation.failed_gates) == ("passed", ())
    names = {gate.name for gate in validation.gates if gate.status == "passed"}
    assert names == {"something_compared", "max_top1_drop", "max_class_drop", "min_agreement", "min_cross_agreement"}


def test_the_bundle_holds_tensorrts_files_for_the_board_to_build_from(digits_run: Path) -> None:
    manifest = read_manifest(digits_run / "bundle")
    built = [each for each in manifest.artefacts if each.target == "tensorrt"]
    assert [each.precision for each in built] == ["fp32", "fp16", "int8"]
    for each in manifest.artefacts:
        assert each.profile == (BatchProfile(1, 1, 64) if each in built else None)
    for each in built:
        assert not each.shipped
        assert each.files[0].sha256 == sha256_file(digits_run / "artefacts" / "tensorrt" / f"{each.precision}.onnx")
    golden = read_golden(digits_run / "bundle", manifest).probabilities
    assert abs(golden["tensorrt fp32"] - golden["onnxruntime fp32"]).max() < 1e-4
    with load(digits_run / "bundle") as model:
        assert model.artefact.target != "tensorrt"


def test_the_manifest_says_how_int8_was_made_and_from_which_images(digits_run: Path) -> None:
    export = read_manifest(digits_run / "bundle").provenance["export"]
    assert len(export["calibration_images"]) == 200  # type: ignore[call-overload, index]
    for target in ("onnxruntime", "openvino", "tensorrt"):
        ladder = export["int8"][target]  # type: ignore[call-overload, index]
        assert ladder["trials"][0]["candidate"] == "minmax"
        assert sum(trial["chosen"] for trial in ladder["trials"]) == 1


def test_float_files_answer_like_the_torch_student(digits_run: Path) -> None:
    for row in read_validation(digits_run).rows:
        if row.precision != "int8":
            assert row.test_difference.agreement == 100
            assert row.test_difference.max_logit_error < (1e-3 if row.precision == "fp32" else 0.1)


def test_each_target_ships_one_artefact(digits_run: Path) -> None:
    rows = read_validation(digits_run).rows
    assert sorted(row.target for row in rows if row.shipped) == ["onnxruntime", "openvino"]


def test_the_bundle_answers_with_the_accuracy_that_validation_measured(digits_run: Path) -> None:
    from hkd_edge.data.load import load_dataset

    test = load_dataset("digits", None, download=False).test
    rows = read_validation(digits_run).rows
    expected = next(row.test.top1 for row in rows if row.title == "onnxruntime int8")
    with load(digits_run / "bundle", target="onnxruntime", precision="int8") as model:
        answers = model.predict_batch(test.images)
    right = sum(answer.index == label for answer, label in zip(answers, test.labels, strict=True))
    assert 100 * right / len(test) == pytest.approx(expected)


def test_the_bundle_decides_like_validation_measured(digits_run: Path) -> None:
    from hkd_edge.data.load import load_dataset

    test = load_dataset("digits", None, download=False).test
    for row in [row for row in read_validation(digits_run).rows if row.target == "onnxruntime"]:
        with load(digits_run / "bundle", "onnxruntime", row.precision) as model:
            decisions = [answer.label_or_concept() for answer in model.predict_batch(test.images)]
        covered = [decision.kind == "class" for decision in decisions]
        right = sum(
            decision.name == model.labels[label]
            for decision, label in zip(decisions, test.labels, strict=True)
            if decision.kind == "class"
        )
        assert row.confidence is not None
        assert row.confidence.label is not None
        assert row.confidence.label.accuracy >= 97
        assert row.decided is not None
        assert 100 * sum(covered) / len(test) == pytest.approx(row.decided.class_coverage, abs=0.5)
        assert 100 * right / sum(covered) == pytest.approx(row.decided.class_accuracy, abs=0.5)


def test_the_evaluation_subset_holds_as_many_test_images_of_each_class(digits_run: Path) -> None:
    from hkd_edge.data.load import load_dataset

    subset = read_evaluation(digits_run / "bundle", read_manifest(digits_run / "bundle"))
    assert subset is not None
    assert np.bincount(subset.labels).tolist() == [20] * 10
    test = load_dataset("digits", None, download=False).test
    images = {image.tobytes(): label for image, label in zip(test.images, test.labels, strict=True)}
    assert [images[image.tobytes()] for image in subset.images] == subset.labels.tolist()
    with load(digits_run / "bundle") as model:
        accuracy = evaluate(model, subset.images, subset.labels)
    assert accuracy.images == 200
    assert accuracy.top1 > 90
    assert accuracy.concepts.keys() == {"strokes", "closed"}


def test_the_bundle_says_where_it_comes_from_without_a_path_of_this_machine(digits_run: Path) -> None:
    manifest = read_manifest(digits_run / "bundle")
    assert manifest.provenance["data"]["source"] == "scikit-learn's bundled digits"  # type: ignore[index]
    assert manifest.provenance["recipe"]["distill"]["temperature"] == 4.0  # type: ignore[index]
    for file in (digits_run / "bundle").rglob("*"):
        if file.is_file():
            assert str(ROOT).encode() not in file.read_bytes(), file


def test_a_second_run_skips_every_stage(digits_run: Path, hkd_edge: Command) -> None:
    before = {file: file.stat().st_mtime_ns for file in (digits_run / "stages").iterdir()}
    result = hkd_edge("run", "digits", "-o", digits_run, "--resume")
    assert result.returncode == 0
    assert result.stderr.count("done already, skipped") == len(STAGES)
    assert {file: file.stat().st_mtime_ns for file in (digits_run / "stages").iterdir()} == before


def test_a_changed_key_runs_just_the_stages_that_depend_on_it(
    digits_run: Path, hkd_edge: Command, tmp_path: Path
) -> None:
    run = shutil.copytree(digits_run, tmp_path / "run")
    result = hkd_edge("run", run, "--set", "validate.latency_runs=20")
    assert result.returncode == 0, result.stderr
    skipped = [line.split()[0] for line in result.stderr.splitlines() if "skipped" in line]
    assert skipped == ["data", "concepts", "teach", "distill", "export"]


@pytest.mark.parametrize("command", [("concepts", "make"), ("concepts",)], ids=" ".join)
def test_a_stage_command_stops_at_its_stage(tmp_path: Path, hkd_edge: Command, command: tuple[str, ...]) -> None:
    result = hkd_edge(*command, "digits", "-o", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert sorted(file.stem for file in (tmp_path / "run" / "stages").iterdir()) == ["concepts", "data"]


@pytest.mark.parametrize(("checkpoint", "killed_in"), [("concept", "teach"), ("student", "distill")])
def test_a_run_killed_in_a_training_resumes_to_the_same_bits(
    digits_run: Path, hkd_edge: Command, tmp_path: Path, checkpoint: str, killed_in: str
) -> None:
    run = tmp_path / "run"
    process = start("distill", "digits", "-o", run)
    wait_for(run / "checkpoints" / f"{checkpoint}.pt", process)
    process.kill()
    process.communicate()
    assert not (run / "stages" / f"{killed_in}.json").exists()
    result = hkd_edge("distill", run)
    assert result.returncode == 0, result.stderr
    for file in ("teacher/concept.pt", "student/student.pt"):
        assert sha256(run / file) == sha256(digits_run / file), file


def test_ctrl_c_leaves_a_run_that_can_be_resumed_and_says_how(tmp_path: Path, hkd_edge: Command) -> None:
    run = tmp_path / "run"
    process = start("distill", "digits", "-o", run, "--set", "distill.training.epochs=1")
    wait_for(run / "checkpoints" / "concept.pt", process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"go on by: hkd-edge distill {run}" in errors
    assert "Traceback" not in errors
    assert hkd_edge("distill", run).returncode == 0


def test_a_full_disk_is_one_message_and_earlier_files_stay(
    digits_run: Path, tmp_path: Path, full_disk: Command
) -> None:
    run = shutil.copytree(digits_run, tmp_path / "run")
    before = {file: sha256(file) for file in (run / "artefacts").rglob("*") if file.is_file()}
    result = full_disk("export", run, *ONE_TARGET, "--set", "export.precisions=[fp32]")
    assert result.returncode == 6, result.stderr
    assert "Free space or mend the permissions, then go on by --resume." in result.stderr
    assert "Traceback" not in result.stderr
    assert {file: sha256(file) for file in before} == before


@pytest.fixture
def full_disk() -> Command:
    """Runs `hkd-edge` where no file may grow beyond 20 kB, which the kernel refuses as it does on a full disk."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        code = (
            "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
            "from hkd_edge.cli import main; main()"
        )
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    return run


def test_a_student_without_teacher_and_hierarchy_goes_the_whole_way(tmp_path: Path, hkd_edge: Command) -> None:
    alone = ("teacher=null", "concepts.hierarchy=null", "distill.weights.concept=0", "distill.training.epochs=6")
    overrides = [word for override in alone for word in ("--set", override)]
    result = hkd_edge("run", "digits", "-o", tmp_path / "run", *overrides, *ONE_TARGET)
    assert result.returncode == 0, result.stderr
    row = read_validation(tmp_path / "run").rows[0]
    assert row.test.concept_mean is None
    assert row.test_difference.agreement == 100


@pytest.mark.slow
def test_every_loss_together_with_both_teachers_goes_the_whole_way(tmp_path: Path, hkd_edge: Command) -> None:
    teacher = "{architecture: {stem_width: 8, widths: [16, 32], blocks: [1, 0]}, training: {epochs: 4, batch_size: 64}}"
    weights = "{ce: 1, concept: 0.5, embedding: 0.2, relational: 0.2, kd: 0.5}"
    result = hkd_edge(
        *("run", "digits", "-o", tmp_path / "run", *ONE_TARGET),
        *("--set", f"task_teacher={teacher}", "--set", f"distill.weights={weights}"),
    )
    assert result.returncode == 0, result.stderr
    assert min(row.test.top1 for row in read_validation(tmp_path / "run").rows) > 80


def test_artefacts_too_bad_to_ship_end_the_run_with_their_own_exit_code(
    digits_run: Path, hkd_edge: Command, tmp_path: Path
) -> None:
    run = shutil.copytree(digits_run, tmp_path / "run")
    other = hkd_edge(
        *("export", "digits", "-o", tmp_path / "other", *ONE_TARGET),
        *("--set", "seed=1", "--set", "teacher.training.epochs=1", "--set", "distill.training.epochs=2"),
    )
    assert other.returncode == 0, other.stderr
    # Another student's files under a stamp that vouches for them: what a swapped artefact looks like.
    shutil.copytree(tmp_path / "other" / "artefacts", run / "artefacts", dirs_exist_ok=True)
    stamp = json.loads((run / "stages" / "export.json").read_text())
    stamp["outputs"] = {name: sha256(run / name) for name in stamp["outputs"]}
    (run / "stages" / "export.json").write_text(json.dumps(stamp))
    result = hkd_edge("run", run)
    assert result.returncode == 9
    assert (
        "onnxruntime int8: min_agreement: expected to answer >= 97 % of the images like the reference" in result.stderr
    )
    assert read_validation(run).verdict == "failed"
    assert not (run / "stages" / "validate.json").exists()


@pytest.mark.slow
def test_the_main_recipe_runs_on_all_of_fashion_mnist(tmp_path: Path, hkd_edge: Command) -> None:
    short = ("teacher.training.epochs=1", "distill.training.epochs=1", "distill.views=1", "validate.latency_runs=50")
    overrides = [word for override in short for word in ("--set", override)]
    result = hkd_edge("run", "fashion_mnist", "-o", tmp_path / "run", *overrides)
    if result.returncode == 5 and "expected to fetch Fashion-MNIST" in result.stderr:
        pytest.skip(f"Fashion-MNIST cannot be had here: {result.stderr}")
    assert result.returncode == 0, result.stderr
    facts = json.loads((tmp_path / "run" / "data" / "data.json").read_text())
    assert facts["images"] == {"train": 54_000, "validation": 6_000, "test": 10_000}
    rows = read_validation(tmp_path / "run").rows
    assert min(row.test.top1 for row in rows) > 80
    assert {row.test.images for row in rows} == {10_000}
