"""Calibration: what is measured, what is remembered, and when it is forgotten. Fake backends sleep."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hkd_edge_runtime import BundleError, DeviceError, MissingBackendError, load
from hkd_edge_runtime.backends import Backend, Outputs
from hkd_edge_runtime.cache import CacheWarning
from hkd_edge_runtime.manifest import read_manifest, write_manifest
from hkd_edge_runtime.tensorrt.record import BatchProfile
from hkd_edge_runtime.turns import Pace

FAST, SLOW = {"precision": "int8", "metrics": {"p50_ms": 9.0}}, {"precision": "fp32", "metrics": {"p50_ms": 1.0}}
# As TensorRT's are: nobody could run it where the bundle was made.
BUILT_HERE = {"precision": "int8", "shipped": False, "reason": "not run", "metrics": {}, "profile": BatchProfile()}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("hkd_edge_runtime.calibration.PACE", Pace(repeats=5))
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
@pytest.mark.parametrize("change", ["threads", "version", "machine", "manifest", "gpu"])
def test_a_change_makes_it_forget(
    folder: Path, change: str, fake_backend: type[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(folder, calibrate=True)
    if change == "version":
        monkeypatch.setattr("hkd_edge_runtime.calibration.version_of", lambda package: "9.9")
    if change == "machine":
        monkeypatch.setattr("os.cpu_count", lambda: 99)
    if change == "manifest":
        write_manifest(folder, replace(read_manifest(folder), name="other"))
    if change == "gpu":
        monkeypatch.setattr(fake_backend, "device", classmethod(lambda cls: "Orin, compute capability 8.7"))
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
    with pytest.warns(CacheWarning, match="expected a cache folder that can be written"):
        assert opened(folder, calibrate=True) == "int8"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened(folder) == "fp32"


@pytest.mark.usefixtures("calls")
def test_an_hkd_file_is_measured_and_remembered_as_its_folder_is(
    folder: Path, packed: Callable[[Path], Path], cache: Path
) -> None:
    file = packed(folder)
    assert opened(file, calibrate=True) == "int8"
    assert opened(file) == "int8"
    assert opened(folder) == "int8"
    assert len(list(cache.iterdir())) == 1


@pytest.mark.usefixtures("calls")
def test_what_the_board_builds_itself_is_taken_by_auto_once_it_was_measured_here(
    bundle_maker: Callable[..., Path],
) -> None:
    folder = bundle_maker(SLOW, BUILT_HERE)
    assert opened(folder) == "fp32"
    assert opened(folder, calibrate=True) == "int8"
    assert opened(folder) == "int8"


@pytest.mark.usefixtures("calls")
def test_what_the_board_builds_itself_may_be_all_there_is(bundle_maker: Callable[..., Path], tmp_path: Path) -> None:
    folder = bundle_maker(BUILT_HERE)
    with pytest.raises(BundleError, match="expected a shipped artefact, got only fake int8"):
        opened(folder)
    assert opened(folder, calibrate=True) == "int8"
    assert opened(folder) == "int8"


@pytest.mark.usefixtures("calls")
def test_a_memory_of_another_bundle_makes_auto_take_nothing_unvalidated(
    bundle_maker: Callable[..., Path], cache: Path
) -> None:
    cache.mkdir(parents=True)
    with pytest.raises(BundleError, match="expected a shipped artefact, got only fake int8"):
        opened(bundle_maker(BUILT_HERE))


@pytest.mark.usefixtures("calls")
def test_what_missed_its_limits_is_not_measured(bundle_maker: Callable[..., Path], cache: Path) -> None:
    assert opened(bundle_maker(SLOW, FAST | {"shipped": False}), calibrate=True) == "fp32"
    assert not cache.exists()


@pytest.mark.parametrize("error", [BundleError, DeviceError, MissingBackendError])
def test_an_engine_that_cannot_be_built_is_passed_over(
    bundle_maker: Callable[..., Path],
    fake_backend: type[Backend],
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    open_file = fake_backend._open

    def refused(self: Any, path: Path, threads: int) -> tuple[int, int, int]:
        if "int8" in path.parent.name:
            raise error("no memory left on the GPU")
        return open_file(self, path, threads)

    monkeypatch.setattr(fake_backend, "_open", refused)
    folder = bundle_maker(SLOW, BUILT_HERE)
    with pytest.warns(RuntimeWarning, match="calibrate: fake int8 is passed over: no memory") as caught:
        assert opened(folder, calibrate=True) == "fp32"
    assert caught[0].filename == __file__


def test_golden_images_that_were_right_while_measuring_are_not_run_by_later_loads(
    folder: Path, calls: list[str]
) -> None:
    opened(folder, calibrate=True)
    calls.clear()
    opened(folder)
    assert calls == ["fake-int8"]  # the blank image that tells the sizes


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
