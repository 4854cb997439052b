from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hkd_edge_runtime import __version__
from hkd_edge_runtime.__main__ import main
from hkd_edge_runtime.files import sha256_file


@pytest.fixture
def image(toy: Any, tmp_path: Path) -> str:
    path = tmp_path / "image.png"
    Image.fromarray(toy.images(1)[0, ..., 0]).save(path)
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a command."""
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_info_tells_input_classes_axes_and_artefacts(
    bundle_maker: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bundle_maker({}, {"precision": "int8", "shipped": False, "reason": "top-1 drop 3.1"})
    code, out, _ = run(capsys, "info", folder)
    assert code == 0
    assert f"digest     {sha256_file(folder / 'manifest.json')} (SHA-256 of the manifest)\n" in out
    for part in ("pets", "4 x 5 x 1 grey", "cat, dog, car, cup", "size: small, large (silent on dog)"):
        assert part in out
    assert "fake int8" in out
    assert "not shipped: top-1 drop 3.1; runs here" in out


def test_info_as_json_is_the_manifest(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "info", bundle, "--json")
    told = json.loads(out)
    assert (code, told.pop("usable_here")) == (0, {"fake fp32": True})
    assert told.pop("digest") == sha256_file(bundle / "manifest.json")
    content = json.loads((bundle / "manifest.json").read_text())
    assert len(content.pop("sha256_above")) == 64
    assert told == content


def test_verify_tells_what_agreed_and_what_was_skipped(
    bundle_maker: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "verify", bundle_maker({}, {"target": "tensorrt"}))
    assert code == 0
    assert "3 files have their SHA-256; the manifest's is " in out
    assert "fake fp32: 6 golden images agree, largest difference 0 (tolerance 1e-05)" in out
    assert "tensorrt fp32: skipped: " in out


def test_verify_as_json(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", bundle, "--json", "--threads", "2")
    told = json.loads(out)
    assert (code, told["files"], told["skipped"]) == (0, 2, [])
    assert told["checked"][0]["max_difference"] == 0


def test_predict_prints_a_line_per_image(bundle: Path, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "predict", bundle, image, image, "--top", "2")
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 2)
    assert lines[0].startswith(f"{image}: ")
    assert "(kind: " in lines[0]
    assert "; size: " in lines[0]


def test_predict_as_json_tells_probabilities_and_concepts(
    bundle: Path, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "predict", bundle, image, "--json", "--top", "3", "--target", "fake")
    (told,) = json.loads(out)
    assert (code, told["image"], told["target"], told["precision"]) == (0, image, "fake", "fp32")
    assert told["top"][0] == {"label": told["label"], "score": told["score"]}
    assert len(told["top"]) == 3
    assert sum(told["probabilities"].values()) == pytest.approx(1)
    assert set(told["concepts"]) == {"kind", "size"}


def test_predict_without_axes_prints_the_class_alone(
    bundle_maker: Callable[..., Path], flat_toy: Any, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(capsys, "predict", bundle_maker(toy=flat_toy), image)
    assert "(" not in out.removeprefix(image)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["info", "nowhere"], 10, "expected a bundle"),
        (["verify", "nowhere"], 10, "expected a bundle"),
        (["predict", "BUNDLE", "nowhere.png"], 12, "expected an image file"),
        (["predict", "BUNDLE", "nowhere.png", "--target", "fack"], 10, "Did you mean 'fake'?"),
        (["predict", "BUNDLE", "nowhere.png", "--json"], 12, "nowhere.png"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    actual, out, err = run(capsys, *(bundle if each == "BUNDLE" else each for each in arguments))
    assert (actual, out) == (code, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_missing_runtime_exits_with_11(
    bundle: Path, fake_backend: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fake_backend, "package", "no_such_package")
    assert run(capsys, "verify", bundle)[0] == 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["predict", "bundle"], "IMAGE"),
        (["verify", "bundle", "--threads", "0"], "expected a number >= 1, got 0"),
        (["verify", "bundle", "--threads", "x"], "--threads"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_ctrl_c_exits_with_130(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hkd_edge_runtime.__main__.verify_bundle", interrupt)
    assert run(capsys, "verify", bundle) == (130, "", "")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"hkd-edge-runtime {__version__}\n"


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_the_module_runs_as_a_command(bundle_maker: Callable[..., Path], image: str, target: str) -> None:
    folder = bundle_maker({"target": target})
    environment = os.environ | {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-m", "hkd_edge_runtime", "predict", folder, image, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[0]["target"] == target
