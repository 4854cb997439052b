"""The command line: quick, helpful, one message and one exit code for each kind of bad input."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., "subprocess.CompletedProcess[str]"]
HEAVY = ("torch", "onnx", "onnxruntime", "openvino", "nncf", "sklearn", "pydantic", "numpy")


@pytest.fixture
def zero(tmp_path: Path) -> Path:
    """A picture of a zero in another size than the model's."""
    pixels = np.zeros((32, 32), np.uint8)
    rows, columns = np.mgrid[:32, :32]
    distance = np.hypot((rows - 15.5) / 13, (columns - 15.5) / 8)
    pixels[(distance > 0.55) & (distance < 1)] = 255
    Image.fromarray(pixels).save(tmp_path / "zero.png")
    return tmp_path / "zero.png"


def test_help_is_instant() -> None:
    command = [sys.executable, "-c", "from hkd_edge.cli import main; main()", "--help"]
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["predict", "--help"],
        ["concepts", "suggest", "--help"],
        ["recipes", "list"],
    ],
)
def test_help_imports_no_heavy_package(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom hkd_edge.cli import cli\n"
        f"cli({arguments}, standalone_mode=False)\n"
        f"loaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not set(loaded) - ({'pydantic'} if 'recipes' in sys.argv else set()), loaded\n"
    )
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


def test_predict_answers_by_the_runtime_alone(digits_run: Path, zero: Path, hkd_edge: Command) -> None:
    result = hkd_edge("predict", digits_run / "bundle", zero)
    assert result.returncode == 0, result.stderr
    assert "zero.png" in result.stdout
    code = (
        "import sys\nfrom hkd_edge.cli import cli\n"
        f"try: cli(['predict', {str(digits_run / 'bundle')!r}, {str(zero)!r}], standalone_mode=False)\n"
        "except SystemExit as leaving: assert not leaving.code\n"
        "loaded = [name for name in ('torch', 'onnx', 'nncf', 'pydantic') if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_predict_gives_json_with_label_and_concepts(digits_run: Path, zero: Path, hkd_edge: Command) -> None:
    result = hkd_edge("predict", digits_run / "bundle", zero, "--json", "--top", "3")
    answer = json.loads(result.stdout)
    answer = answer[0] if isinstance(answer, list) else answer
    assert answer["label"] == "0"
    assert answer["concepts"]["strokes"]["concept"] == "loops"


def test_predict_requires_the_signature_that_it_is_told_to(
    digits_run: Path, zero: Path, tmp_path: Path, hkd_edge: Command
) -> None:
    pytest.importorskip("cryptography")
    assert hkd_edge("bundle", "keygen", tmp_path / "key.pem").returncode == 0
    signed = hkd_edge("bundle", "pack", digits_run / "bundle", "-o", tmp_path / "signed.hkd")
    assert signed.returncode == 0, signed.stderr
    required = ("--require-signature", tmp_path / "key.pub.pem")
    refused = hkd_edge("predict", tmp_path / "signed.hkd", zero, *required)
    assert (refused.returncode, "expected a bundle that is signed" in refused.stderr) == (10, True)
    assert hkd_edge("bundle", "sign", tmp_path / "signed.hkd", "--key", tmp_path / "key.pem").returncode == 0
    assert hkd_edge("predict", tmp_path / "signed.hkd", zero, *required).returncode == 0


def test_help_of_predict_names_what_there_is(hkd_edge: Command) -> None:
    told = hkd_edge("predict", "--help").stdout
    for name in ("onnxruntime", "openvino", "tensorrt", "fp32", "fp16", "int8"):
        assert name in told


def test_predict_of_something_that_is_no_image_has_its_own_exit_code(
    digits_run: Path, tmp_path: Path, hkd_edge: Command
) -> None:
    (tmp_path / "page.png").write_text("<html>")
    result = hkd_edge("predict", digits_run / "bundle", tmp_path / "page.png")
    assert result.returncode == 12
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


def test_predict_without_a_bundle_has_its_own_exit_code(tmp_path: Path, zero: Path, hkd_edge: Command) -> None:
    result = hkd_edge("predict", tmp_path / "nowhere", zero)
    assert result.returncode == 10
    assert result.stderr.startswith("error: ")


def test_an_unknown_command_names_the_nearest(hkd_edge: Command) -> None:
    result = hkd_edge("distil")
    assert result.returncode == 2
    assert "Did you mean 'distill'?" in result.stderr


def test_a_bad_recipe_is_told_with_every_problem_and_exit_code_3(tmp_path: Path, hkd_edge: Command) -> None:
    recipe = tmp_path / "bad.yaml"
    recipe.write_text("version: 1\nname: bad\ndata: {dataset: digits}\nstudnet: {}\ndistill: {temperature: 0}\n")
    result = hkd_edge("run", recipe, "-o", tmp_path / "run")
    assert result.returncode == 3
    assert "bad.yaml:4: recipe.studnet" in result.stderr
    assert "recipe.distill.temperature: expected a number > 0, got 0. Typical values are 1 to 10." in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_bad_hierarchy_has_exit_code_4(tmp_path: Path, hkd_edge: Command) -> None:
    hierarchy = tmp_path / "h.yaml"
    hierarchy.write_text("axes:\n  kind: {one: ['0', '11'], two: []}\n")
    result = hkd_edge("run", "digits", "-o", tmp_path / "run", "--set", f"concepts.hierarchy={hierarchy}")
    assert result.returncode == 4
    assert "h.yaml:2" in result.stderr


def test_missing_data_has_exit_code_5(tmp_path: Path, hkd_edge: Command) -> None:
    result = hkd_edge("data", "fashion_mnist", "-o", tmp_path / "run", "--set", f"data.root={tmp_path}")
    assert result.returncode == 5
    assert "expected the file train-images-idx3-ubyte.gz" in result.stderr


def test_a_run_that_is_there_has_exit_code_6(digits_run: Path, hkd_edge: Command) -> None:
    result = hkd_edge("run", "digits", "-o", digits_run)
    assert result.returncode == 6
    assert "--resume" in result.stderr


def test_resume_and_overwrite_together_are_a_usage_error(tmp_path: Path, hkd_edge: Command) -> None:
    result = hkd_edge("run", "digits", "-o", tmp_path / "run", "--resume", "--overwrite")
    assert result.returncode == 2


def test_recipes_are_listed_shown_and_described(hkd_edge: Command) -> None:
    names = hkd_edge("recipes", "list").stdout.split()
    assert {"digits", "fashion_mnist", "fashion_mnist_full"} <= set(names)
    assert "# " in hkd_edge("recipes", "show", "digits").stdout
    assert "momentum: 0.9" in hkd_edge("recipes", "show", "digits", "--resolved").stdout
    schema = json.loads(hkd_edge("recipes", "schema").stdout)
    assert schema["additionalProperties"] is False


def test_doctor_knows_the_runtimes_that_are_here(hkd_edge: Command) -> None:
    findings = {item["name"]: item for item in json.loads(hkd_edge("doctor", "--json").stdout)}
    assert findings["torch"]["ok"]
    assert findings["onnxruntime"]["ok"]
    assert findings["digits"]["ok"]
    assert "onnxruntime" in hkd_edge("doctor").stdout


def test_doctor_gives_the_pip_command_for_a_missing_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    from hkd_edge import doctor
    from hkd_edge_runtime.backends.openvino import OpenVinoBackend

    monkeypatch.setattr(OpenVinoBackend, "is_installed", classmethod(lambda cls: False))
    assert "pip install" in doctor.render(doctor.examine(), as_json=False)
