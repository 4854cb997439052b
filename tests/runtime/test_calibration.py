"""Calibration: what is measured, what is remembered, and when it is forgotten. Fake backends sleep."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hkd_edge_runtime import BundleError, load
from hkd_edge_runtime.backends import Backend, Outputs
from hkd_edge_runtime.cache import CacheWarning

FAST, SLOW = {"precision": "int8", "metrics": {"p50_ms": 9.0}}, {"precision": "fp32", "metrics": {"p50_ms": 1.0}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("hkd_edge_runtime.calibration.ROUNDS", 5)
    monkeypatch.setattr("hkd_edge_runtime.calibration.WARM_UP_ROUNDS", 1)
    return tmp_path / "cache/hkd-edge/calibration"


@pytest.fixture
def calls(fake_backend: type[Backend], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes fp32 slow here, and lists the files that are run."""
    seen: list[str] = []
    open_file, run = fake_backend._open, fake_backend._run

    def opened(self: Any, path: Path, threads: int) -> tuple[int, int, int]:
        self.folder = path.parent.name
        return open_file(self, path, threads)

    def paused(self: Any, images: np.ndarray) -> Outputs:
        seen.append(self.folder)
        time.sleep(0.003 if "fp32" in self.folder else 0)
        return run(self, images)

    monkeypatch.setattr(fake_backend, "_open", opened)
    monkeypatch.setattr(fake_backend, "_run", paused)
    return seen


def opened(folder: Path, **options: Any) -> str:
    with load(folder, **options) as model:
        return model.artefact.precision


@pytest.fixture
def folder(bundle_maker: Callable[..., Path]) -> Path:
    """On the machine that made it fp32 was the faster one."""
    return bundle_maker(SLOW, FAST)


@pytest.mark.usefixtures("calls")
def test_what_is_fastest_here_is_taken_and_remembered(folder: Path, cache: Path) -> None:
    assert opened(folder) == "fp32"
    assert opened(folder, calibrate=True) == "int8"
    assert opened(folder) == "int8"
    (entry,) = (json.loads(path.read_text()) for path in cache.iterdir())
    assert entry["fastest"] == "fake int8"
    assert entry["p50_ms"]["fake fp32"] > entry["p50_ms"]["fake int8"]


def test_what_is_remembered_is_not_measured_again(folder: Path, calls: list[str]) -> None:
    opened(folder, calibrate=True)
    calls.clear()
    opened(folder, calibrate=True)
    assert "fake-fp32" not in calls


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("change", ["threads", "version", "machine", "manifest"])
def test_a_change_makes_it_forget(
    folder: Path, change: str, fake_backend: type[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(folder, calibrate=True)
    if change == "version":
        monkeypatch.setattr("hkd_edge_runtime.calibration.version_of", lambda package: "9.9")
    if change == "machine":
        monkeypatch.setattr("os.cpu_count", lambda: 99)
    if change == "manifest":
        path = folder / "manifest.json"
        path.write_text(path.read_text() + "\n")
    assert opened(folder, threads=2 if change == "threads" else 1) == "fp32"


@pytest.mark.usefixtures("calls")
def test_a_choice_of_one_is_not_measured(folder: Path, cache: Path) -> None:
    assert opened(folder, target="fake", precision="fp32", calibrate=True) == "fp32"
    assert not cache.exists()


@pytest.mark.usefixtures("calls")
def test_a_damaged_memory_is_measured_again(folder: Path, cache: Path) -> None:
    opened(folder, calibrate=True)
    (path,) = cache.iterdir()
    path.write_text('{"fastest": ["fake int8"]}')
    assert opened(folder) == "fp32"
    assert opened(folder, calibrate=True) == "int8"


@pytest.mark.usefixtures("calls")
def test_a_cache_that_cannot_be_written_is_a_warning(folder: Path, cache: Path) -> None:
    cache.parent.parent.mkdir()
    cache.parent.write_text("in the way")
    with pytest.warns(CacheWarning, match="calibration: expected a cache folder that can be written"):
        assert opened(folder, calibrate=True) == "int8"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened(folder) == "fp32"


def test_an_artefact_that_answers_wrongly_here_is_passed_over(
    folder: Path, fake_backend: type[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fake_backend._run
    open_file = fake_backend._open

    def opened_file(self: Any, path: Path, threads: int) -> tuple[int, int, int]:
        self.wrong = "int8" in path.parent.name
        return open_file(self, path, threads)

    def wrong(self: Any, images: np.ndarray) -> Outputs:
        outputs = run(self, images)
        return outputs._replace(probabilities=1 - outputs.probabilities) if self.wrong else outputs

    monkeypatch.setattr(fake_backend, "_open", opened_file)
    monkeypatch.setattr(fake_backend, "_run", wrong)
    with pytest.warns(RuntimeWarning, match="calibrate: fake int8 is passed over: .*golden probabilities"):
        assert opened(folder, calibrate=True) == "fp32"


@pytest.mark.filterwarnings("ignore:calibrate")
def test_with_no_right_answer_at_all_it_is_refused(bundle_maker: Callable[..., Path]) -> None:
    with pytest.raises(BundleError, match="expected an artefact that runs right here, got none of 2"):
        load(bundle_maker(SLOW, FAST, golden_shift=0.5), calibrate=True)


def test_real_runtimes_are_measured(bundle_maker: Callable[..., Path], cache: Path) -> None:
    opened(bundle_maker({"target": "onnxruntime"}, {"target": "openvino"}), calibrate=True)
    (entry,) = (json.loads(path.read_text()) for path in cache.iterdir())
    assert set(entry["p50_ms"]) == {"onnxruntime fp32", "openvino fp32"}
    assert min(entry["p50_ms"].values()) > 0
