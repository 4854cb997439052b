from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from examples.raspberry_pi.camera import Rate, _parser, main, open_source, watch
from examples.shared.stop import StopSignals
from hkd_edge_runtime import Model, fit_image

MODULE = "examples.raspberry_pi.camera"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    code = main([str(argument) for argument in arguments])
    out, errors = capsys.readouterr()
    return code, out.splitlines(), errors


def test_a_folder_is_told_as_the_model_answers(
    digits_bundle: Path, pictures: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, _ = run(capsys, digits_bundle, "--source", pictures, "--json")
    assert code == 0
    answers = [model.predict(path).to_dict() for path in sorted(pictures.iterdir())]
    told = [json.loads(line) for line in lines]
    assert [{name: each[name] for name in answers[0]} for each in told] == answers
    assert all(each["frames_per_s"] > 0 for each in told[1:])
    assert len({each["label"] for each in told}) > 3


def test_text_says_class_score_concepts_and_rate(
    digits_bundle: Path, pictures: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    _, lines, _ = run(capsys, digits_bundle, "--source", pictures, "--threshold", 0)
    answer = model.predict(pictures / "00.png")
    assert lines[0].startswith(f"{pictures / '00.png'}: {answer.label} ({answer.label} {answer.score:.2f}; ")
    assert f"strokes {answer.concepts['strokes'].concept} " in lines[0]
    assert lines[0].endswith("frames/s)")


def test_what_is_not_sure_is_told_as_unsure(
    digits_bundle: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, lines, _ = run(capsys, digits_bundle, "--source", pictures, "--threshold", 1)
    assert len(lines) == 10
    assert all(": unsure (" in line for line in lines)


def test_the_decision_is_that_of_the_bundles_own_thresholds(
    digits_bundle: Path, pictures: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    _, lines, _ = run(capsys, digits_bundle, "--source", pictures, "--json")
    expected = [asdict(model.predict(path).label_or_concept()) for path in sorted(pictures.iterdir())]
    assert [json.loads(line)["decision"] for line in lines] == expected


@pytest.mark.parametrize("threshold", ["1.01", "-0.1", "nan"])
def test_a_threshold_that_is_no_probability_is_refused(
    digits_bundle: Path, threshold: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(digits_bundle), f"--threshold={threshold}"])
    assert f"expected a number from 0 to 1, got {threshold}" in capsys.readouterr().err


def test_a_broken_image_is_told_and_passed_over(
    digits_bundle: Path, pictures: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (pictures / "00.png").write_text("no image")
    code, lines, _ = run(capsys, digits_bundle, "--source", pictures)
    assert (code, len(lines)) == (0, 9)
    assert "00.png: expected an image file that Pillow can read" in caplog.text


def test_no_more_than_the_frames_asked_for_are_read(
    digits_bundle: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, lines, _ = run(capsys, digits_bundle, "--source", pictures, "--repeat", "--frames", 23)
    assert len(lines) == 23
    _, lines, _ = run(capsys, digits_bundle, "--source", pictures, "--repeat", "--frames", 23, "--every", 60)
    assert len(lines) == 1


@pytest.fixture
def no_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    monkeypatch.setitem(sys.modules, "cv2", None)


@pytest.mark.usefixtures("no_camera")
def test_without_a_camera_auto_says_why_and_takes_the_folder(
    digits_bundle: Path, pictures: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    code, lines, _ = run(capsys, digits_bundle, "--folder", pictures)
    assert (code, len(lines)) == (0, 10)
    assert "no camera: " in caplog.text
    assert "python3-picamera2" in caplog.text
    assert "reading the images in" in caplog.text


@pytest.mark.usefixtures("no_camera")
@pytest.mark.parametrize("source", ["auto", "picamera2", "opencv"])
def test_without_a_camera_and_a_folder_it_ends_with_the_reason(
    digits_bundle: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, errors = run(capsys, digits_bundle, "--source", source)
    assert (code, lines) == (20, [])
    assert errors.startswith("error: ")
    assert "cannot be imported" in errors
    assert "--source FOLDER" in errors


def test_a_wrong_bundle_ends_with_its_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = run(capsys, tmp_path, "--source", tmp_path)
    assert code == 10
    assert errors.startswith("error: ")


@pytest.mark.parametrize("size", ["640", "0x480", "axb"])
def test_a_wrong_size_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["bundle", "--size", size])
    assert "expected WIDTHxHEIGHT such as 640x480" in capsys.readouterr().err


def endless_camera(image: np.ndarray) -> Any:
    """A module picamera2 whose camera loses a frame in ten and gives `image` otherwise, for ever."""

    class Picamera2:
        reads = 0

        @staticmethod
        def global_camera_info() -> list[dict[str, object]]:
            return [{"Num": 0}]

        def __init__(self, number: int) -> None:
            self.create_video_configuration = dict
            self.configure = self.start = self.close = lambda *arguments: None

        def capture_array(self, name: str, wait: float) -> np.ndarray:
            Picamera2.reads += 1
            if Picamera2.reads % 10 == 0:
                raise TimeoutError
            return image.copy()

    return SimpleNamespace(Picamera2=Picamera2)


def test_a_camera_is_read_with_flat_memory_and_gets_the_answers_of_its_frames(
    model: Model, large_images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", endless_camera(large_images[3]))
    monkeypatch.setattr(StopSignals, "pause", lambda self, seconds: False)
    expected = model.predict(fit_image(large_images[3], model.manifest.input))
    labels: dict[str, int] = {}
    sizes = []  # from 300 to 1,500 frames up to 34 kB more, from 1,500 to 3,000 then 3 kB, to 6,000 2 kB

    class Sink:
        def write(self, text: str) -> None:
            if text.strip():
                label = json.loads(text)["label"]
                labels[label] = labels.get(label, 0) + 1
                if labels[label] in (1500, 3000):
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])

        def flush(self) -> None:
            pass

    options = _parser().parse_args(["bundle", "--json", "--frames", "3000"])
    tracemalloc.start()
    with StopSignals() as stop:
        watch(model, open_source(options, model.manifest.input, stop), stop, options, Sink())  # type: ignore[arg-type]
    tracemalloc.stop()
    assert labels == {expected.label: 3000}
    assert sizes[1] - sizes[0] < 32_000


def test_the_rate_is_that_of_the_last_frames() -> None:
    rate = Rate(window=3)
    assert [rate.tick(now) for now in (0.0, 10.0, 11.0, 12.0)] == [0.0, 0.1, pytest.approx(2 / 11), 1.0]
    assert Rate().tick(0.0) == 0.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(start: Callable[..., Any], digits_bundle: Path, pictures: Path, number: int) -> None:
    program = start(MODULE, digits_bundle, "--source", pictures, "--repeat", "--json")
    program.wait_until(lambda: program.out.count("\n") > 20)
    assert program.stop(number) == 0
    assert program.out.endswith("}\n")
    assert "Traceback" not in program.errors
    for line in program.out.splitlines():
        json.loads(line)


def test_a_reader_that_goes_away_ends_it_quietly(digits_bundle: Path, pictures: Path, tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m {MODULE} '{digits_bundle}' --source '{pictures}' --repeat | head -3"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=environment,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.count("\n")) == (0, 3)
    assert "Error" not in done.stderr
