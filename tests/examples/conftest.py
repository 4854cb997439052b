"""A real bundle (scikit-learn's digits), pictures of its test images, and programs started as a person would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hkd_edge_runtime import Model, load

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0


@pytest.fixture(scope="session")
def digits_bundle(digits_run: Path) -> Path:
    return digits_run / "bundle"


@pytest.fixture(scope="session")
def model(digits_bundle: Path) -> Iterator[Model]:
    with load(digits_bundle) as model:
        yield model


@pytest.fixture(scope="session")
def digit_images(digits_bundle: Path) -> np.ndarray:
    """Uint8 (N, 8, 8): the golden images of the bundle."""
    with np.load(digits_bundle / "golden.npz") as golden:
        return np.array(golden["images"][:10, ..., 0])


@pytest.fixture(scope="session")
def large_images(digit_images: np.ndarray) -> np.ndarray:
    """Uint8 (N, 96, 96, 3): digits as a camera would see them, with red, green and blue apart."""
    grey = np.kron(digit_images, np.ones((1, 12, 12), np.uint8))[..., None]
    return (grey * np.array([1.0, 0.8, 0.5])).astype(np.uint8)


@pytest.fixture
def pictures(tmp_path: Path, large_images: np.ndarray) -> Path:
    """A folder with a PNG file of each image, 00.png and on."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, image in enumerate(large_images):
        Image.fromarray(image).save(folder / f"{index:02}.png")
    return folder


class Program:
    """A module in a process of its own; what it writes goes to files, so that no pipe can fill up."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, errors: Path) -> None:
        self.process = process
        self._out = out
        self._errors = errors

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait_until(self, condition: Callable[[], Any]) -> None:
        wait_until(condition, lambda: f"{self.out}\n{self.errors}", lambda: self.process.poll() is None)


def wait_until(
    condition: Callable[[], Any], tell: Callable[[], str] = str, alive: Callable[[], bool] = lambda: True
) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, tell()
        assert alive(), tell()
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts `python -m module arguments`; what is still running at the end is killed."""
    running: list[Program] = []

    def run(module: str, *arguments: object, **environment: str) -> Program:
        out, errors = tmp_path / f"out.{len(running)}", tmp_path / f"errors.{len(running)}"
        with out.open("wb") as out_file, errors.open("wb") as errors_file:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", module, *map(str, arguments)],
                stdout=out_file,
                stderr=errors_file,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | environment,
            )
        running.append(Program(process, out, errors))
        return running[-1]

    yield run
    for program in running:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()
