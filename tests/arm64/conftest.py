"""The wrapper's wheel on boards: emulated ones, or this machine if it is 64-bit ARM itself."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnxruntime
import pytest

from hkd_edge.data import digits
from hkd_edge.data.dataset import ImageSet
from tests.arm64.board import (
    Board,
    Parts,
    emulated_board,
    fetch_broken,
    fetch_parts,
    is_native,
    native_board,
)
from tests.debian import UnavailableError, run

ROOT = Path(__file__).resolve().parents[2]
REQUIRE = "HKD_EDGE_REQUIRE_ARM64"


@dataclass(frozen=True)
class Seen:
    """What `on_the_board.py` said and answered; `answers` by `PRECISION/logits` and `PRECISION/probabilities`."""

    facts: dict[str, Any]
    answers: dict[str, np.ndarray]


def skip_or_fail(reason: str) -> NoReturn:
    """Skips, or fails where the variable says that 64-bit ARM must be there."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"64-bit ARM: {reason} ({REQUIRE}=1 makes a failure of this skip)", pytrace=False)
    pytest.skip(f"64-bit ARM: {reason}")


@pytest.fixture(scope="session")
def parts() -> Parts:
    """The emulator with its Python; fetched at the first use."""
    if is_native():
        skip_or_fail("emulates other processors; this machine is one itself")
    try:
        return fetch_parts(onnxruntime.__version__)
    except UnavailableError as error:
        skip_or_fail(str(error))


@pytest.fixture(scope="session")
def broken(parts: Parts) -> Path:
    """A folder with the version of onnxruntime that the wrapper refuses, for 64-bit ARM."""
    try:
        return fetch_broken(parts)
    except UnavailableError as error:
        skip_or_fail(str(error))


@pytest.fixture(scope="session")
def wheel_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime's wheel, built from a copy of `runtime/` and installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    # A build leaves nothing in the source tree, nor takes anything from a former build there.
    shutil.copytree(ROOT / "runtime", folder / "runtime", ignore=shutil.ignore_patterns("__pycache__", "build", "dist"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    try:
        run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(folder / "runtime")])
        (wheel,) = folder.glob("*.whl")
        run([*pip, "install", "--no-deps", "--no-compile", "--target", str(folder / "site"), str(wheel)])
    except UnavailableError as error:
        skip_or_fail(str(error))
    return folder / "site"


@pytest.fixture(scope="session")
def make_board(
    wheel_site: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Board]:
    """The board with the processor named; `native` is this machine."""

    def make(cpu: str) -> Board:
        folder = tmp_path_factory.mktemp(cpu)
        if cpu == "native":
            return native_board(folder, wheel_site)
        return emulated_board(cpu, request.getfixturevalue("parts"), folder, wheel_site)

    return make


@pytest.fixture(scope="session", params=["native"] if is_native() else ["cortex-a72", "cortex-a76"])
def board(request: pytest.FixtureRequest, make_board: Callable[[str], Board]) -> Board:
    """Processors on which everything must hold: those of the Raspberry Pi 4 and 5."""
    return make_board(request.param)


@pytest.fixture(scope="session")
def bundle(digits_run: Path) -> Path:
    return digits_run / "bundle"


@pytest.fixture(scope="session")
def held_out() -> ImageSet:
    """The test images of the recipe `digits`, uint8 (N, 8, 8, 1)."""
    return digits.load(None, download=False).test


@pytest.fixture(scope="session")
def seen(board: Board, bundle: Path, held_out: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The test images on the board, through all files for ONNX Runtime."""
    folder = tmp_path_factory.mktemp("seen")
    np.save(folder / "images.npy", held_out.images)
    script = Path(__file__).parent / "on_the_board.py"
    done = board.python(script, bundle, folder / "images.npy", folder / "answers.npz")
    assert done.returncode == 0, done.stderr
    with np.load(folder / "answers.npz") as arrays:
        return Seen(json.loads(done.stdout), dict(arrays))


@pytest.fixture(scope="session")
def here(bundle: Path, held_out: ImageSet) -> dict[str, np.ndarray]:
    """The same answers as `Seen.answers`, from this machine."""
    from hkd_edge_runtime import load

    answers = {}
    for precision in ("fp32", "int8"):
        with load(bundle, "onnxruntime", precision) as model:
            outputs = model.run(held_out.images)
        answers |= {f"{precision}/logits": outputs.logits, f"{precision}/probabilities": outputs.probabilities}
    return answers
