"""The wrapper's wheel on 64-bit ARM answers as it does here; each `load` also checks the golden images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from hkd_edge.data.dataset import ImageSet
from hkd_edge_runtime import load
from tests.arm64.board import Board, is_native, signal_name
from tests.arm64.conftest import Seen

pytestmark = [pytest.mark.arm64, pytest.mark.slow]
needs_emulation = pytest.mark.skipif(is_native(), reason="names a processor; this machine is 64-bit ARM itself")

# Two processors sum the same float32 numbers in another order.
FP32_TOLERANCE = 1e-5
# Integers are exact; only where a sum lies between two steps may the processors round it differently.
MAX_DIFFERING_SHARE = 0.01


def output_step(int8_file: Path) -> np.ndarray:
    """(C,) how far each logit moves if every input of the last layer moves by one step of its quantizer.

    The logits themselves are float; the numbers before the last layer are the last that are quantized.
    """
    graph = onnx.load(int8_file).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    head = makers["logits"]
    _, scale, _ = makers[head.input[0]].input
    quantized, channel_scales, _ = makers[head.input[1]].input
    weights = arrays[quantized].astype(np.float64) * arrays[channel_scales][:, np.newaxis]
    return np.abs(weights).sum(axis=1) * float(arrays[scale])


def test_the_machine_is_arm64_and_its_subprocesses_are_too(board: Board, seen: Seen) -> None:
    code = "import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', sys.argv[1]], text=True))"
    done = board.python("-c", code, "import platform; print(platform.machine())")
    assert seen.facts["machine"] == "aarch64"
    assert done.stdout.strip() == "aarch64"


def test_what_runs_is_the_installed_wheel(seen: Seen, wheel_site: Path) -> None:
    assert seen.facts["package"] == str(wheel_site / "hkd_edge_runtime" / "__init__.py")
    assert list(wheel_site.glob("hkd_edge_runtime-*.dist-info"))


def test_an_import_loads_numpy_alone(seen: Seen) -> None:
    assert seen.facts["loaded_by_import"] == []


def test_predictions_load_neither_torch_nor_onnx(seen: Seen) -> None:
    assert seen.facts["loaded_by_predictions"] == ["onnxruntime"]


def test_fp32_answers_are_those_of_this_machine(seen: Seen, here: dict[str, np.ndarray]) -> None:
    for output in ("fp32/probabilities", "fp32/logits"):
        np.testing.assert_allclose(seen.answers[output], here[output], rtol=FP32_TOLERANCE, atol=FP32_TOLERANCE)


def test_int8_logits_are_within_one_step_of_those_of_this_machine(
    seen: Seen, here: dict[str, np.ndarray], bundle: Path
) -> None:
    difference = np.abs(seen.answers["int8/logits"] - here["int8/logits"])
    step = output_step(bundle / "artefacts" / "onnxruntime-int8" / "int8.onnx")
    assert (difference <= step).all(), f"{(difference / step).max():.2f} steps"


def test_nearly_all_int8_answers_are_the_same_numbers(seen: Seen, here: dict[str, np.ndarray]) -> None:
    difference = np.abs(seen.answers["int8/logits"] - here["int8/logits"]).max(axis=1)
    assert (difference > FP32_TOLERANCE * 10).mean() <= MAX_DIFFERING_SHARE


def test_the_int8_class_is_the_same_unless_two_are_within_one_step(
    seen: Seen, here: dict[str, np.ndarray], bundle: Path
) -> None:
    there, logits = seen.answers["int8/logits"], here["int8/logits"]
    second, first = np.sort(logits, axis=1)[:, -2:].T
    clear = first - second > output_step(bundle / "artefacts" / "onnxruntime-int8" / "int8.onnx").max()
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(there.argmax(axis=1)[clear], logits.argmax(axis=1)[clear])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_accuracy_is_that_of_this_machine(
    seen: Seen, here: dict[str, np.ndarray], held_out: ImageSet, precision: str
) -> None:
    there, expected = (
        float((answers[f"{precision}/probabilities"].argmax(axis=1) == held_out.labels).mean())
        for answers in (seen.answers, here)
    )
    assert there == expected
    assert there > 0.9


def test_the_command_line_predicts_an_image_file(
    board: Board, bundle: Path, held_out: ImageSet, tmp_path: Path
) -> None:
    image = held_out.images[0]
    Image.fromarray(image[..., 0]).save(tmp_path / "digit.png")
    named = ("--target", "onnxruntime", "--precision", "int8")
    done = board.python("-m", "hkd_edge_runtime", "predict", bundle, tmp_path / "digit.png", "--json", *named)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    with load(bundle, "onnxruntime", "int8") as model:
        answer = model.predict(image)
    assert result["label"] == answer.label
    assert result["score"] == pytest.approx(answer.score, abs=0.01)
    assert set(result["concepts"]) == set(answer.concepts)


def test_the_command_line_verifies_what_can_run_there(board: Board, bundle: Path) -> None:
    done = board.python("-m", "hkd_edge_runtime", "verify", bundle, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {(each["target"], each["precision"]) for each in report["checked"]} >= {
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
    }


def test_a_damaged_bundle_is_refused_by_its_exit_code(board: Board, bundle: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(bundle, tmp_path / "damaged")
    file = damaged / "artefacts" / "onnxruntime-int8" / "int8.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = board.python("-m", "hkd_edge_runtime", "verify", damaged)
    assert done.returncode == 10
    assert "onnxruntime-int8/int8.onnx: expected SHA-256" in done.stderr


@needs_emulation
def test_the_wrapper_is_imported_on_the_oldest_processor(make_board: Callable[[str], Board]) -> None:
    """The Cortex-A53 of a Raspberry Pi 3."""
    code = "from hkd_edge_runtime import load; import platform, sys; print(platform.machine(), 'torch' in sys.modules)"
    done = make_board("cortex-a53").python("-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, "aarch64 False"), done.stderr


@needs_emulation
def test_the_version_of_onnxruntime_that_crashes_is_refused_before_it_does(
    make_board: Callable[[str], Board], broken: Path, bundle: Path
) -> None:
    pi4 = make_board("cortex-a72")
    crash = pi4.python_unchecked("-c", "import onnxruntime", first=[broken])
    assert signal_name(crash.returncode) == "SIGILL", f"it no longer ends by SIGILL: {crash.stderr}"
    refusal = pi4.python("-m", "hkd_edge_runtime", "verify", bundle, first=[broken])
    assert refusal.returncode == 11
    assert "expected another onnxruntime than 1.21.0" in refusal.stderr
