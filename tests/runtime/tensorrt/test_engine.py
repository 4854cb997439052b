"""Engines built into the cache by the installed TensorRT; TensorRT-RTX does so without a GPU, but none opens there."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hkd_edge_runtime.errors import BundleError, DeviceError
from hkd_edge_runtime.files import sha256_file
from hkd_edge_runtime.tensorrt import engine as engine_module
from hkd_edge_runtime.tensorrt import progress
from hkd_edge_runtime.tensorrt.engine import EngineRequest, open_engine
from hkd_edge_runtime.tensorrt.installed import TENSORRT, Gpu, current_gpu, find_tensorrt, flavour
from hkd_edge_runtime.tensorrt.record import BatchProfile
from tests.runtime.conftest import Toy, write_onnx

PROFILE = BatchProfile(1, 2, 8)


@pytest.fixture
def tensorrt() -> ModuleType:
    module = find_tensorrt()
    if module is None:
        pytest.skip("neither TensorRT nor TensorRT-RTX is installed")
    if flavour(module) == TENSORRT and current_gpu() is None:
        pytest.skip("TensorRT builds on a GPU only, and there is none")
    return module


@pytest.fixture
def request_of(tensorrt: ModuleType, tmp_path: Path, toy: Toy) -> EngineRequest:
    """The toy's engine for the GPU at hand, or by TensorRT-RTX for one that is elsewhere."""
    (model,) = write_onnx(tmp_path, toy)
    gpu = current_gpu() if flavour(tensorrt) == TENSORRT else Gpu("a GPU elsewhere", "8.6")
    assert gpu is not None
    return EngineRequest(model, "fp32", gpu, PROFILE)


@pytest.fixture
def plans_as_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no GPU can open a plan, its bytes stand for the engine."""
    monkeypatch.setattr(engine_module._Maker, "deserialize", lambda self, plan: plan)


@pytest.mark.usefixtures("plans_as_engines")
def test_an_engine_is_built_once_into_a_plain_file_with_its_record(
    tensorrt: ModuleType, request_of: EngineRequest, tmp_path: Path
) -> None:
    lines: list[str] = []
    first = open_engine(tensorrt, request_of, tmp_path / "engines", lines.append)
    assert "building an engine for" in lines[0]
    assert "built in" in lines[-1]
    (plan,) = (tmp_path / "engines").glob("*.plan")
    assert plan.read_bytes() == first
    record = json.loads((tmp_path / "engines" / f"{plan.name}.json").read_text())
    assert record["plan_sha256"] == sha256_file(plan)
    assert record["onnx_sha256"] == sha256_file(request_of.path)
    assert record["version"] == tensorrt.__version__
    assert record["compute_capabilities"] == [request_of.gpu.compute_capability]
    assert (record["precision"], record["profile"]) == ("fp32", {"min": 1, "opt": 2, "max": 8})
    lines.clear()
    assert open_engine(tensorrt, request_of, tmp_path / "engines", lines.append) == first
    assert lines == []


@pytest.mark.usefixtures("plans_as_engines")
def test_a_changed_plan_is_built_again(tensorrt: ModuleType, request_of: EngineRequest, tmp_path: Path) -> None:
    open_engine(tensorrt, request_of, tmp_path, lambda line: None)
    (plan,) = tmp_path.glob("*.plan")
    plan.write_bytes(plan.read_bytes()[:-1] + b"x")
    lines: list[str] = []
    open_engine(tensorrt, request_of, tmp_path, lines.append)
    assert "damaged" in lines[0]
    assert json.loads(plan.with_name(f"{plan.name}.json").read_text())["plan_sha256"] == sha256_file(plan)


def test_without_a_gpu_the_engine_is_built_and_tensorrt_says_why_it_does_not_open(
    tensorrt: ModuleType, request_of: EngineRequest, tmp_path: Path
) -> None:
    if current_gpu() is not None:
        pytest.skip("a GPU is here, which opens it")
    with pytest.raises(
        DeviceError, match=r"to open the engine that it has just built for .*\(8\.6\), but it says: .*CUDA"
    ):
        open_engine(tensorrt, request_of, tmp_path / "engines", lambda line: None)
    assert len(list((tmp_path / "engines").glob("*.plan"))) == 1


@pytest.mark.usefixtures("plans_as_engines")
def test_a_gpu_that_tensorrt_rtx_does_not_know_is_refused(
    tensorrt: ModuleType, request_of: EngineRequest, tmp_path: Path
) -> None:
    if flavour(tensorrt) == TENSORRT:
        pytest.skip("TensorRT is installed, which builds for any GPU that it runs on")
    orin = EngineRequest(request_of.path, "fp32", Gpu("Orin", "8.7"), PROFILE)
    with pytest.raises(
        BundleError, match=r"expected a compute capability out of .*8\.6.*, got 8\.7\. Take TensorRT inst"
    ):
        open_engine(tensorrt, orin, tmp_path, lambda line: None)
    assert not list(tmp_path.glob("*.plan"))


@pytest.mark.usefixtures("plans_as_engines")
def test_the_phases_of_a_build_are_told(
    tensorrt: ModuleType, request_of: EngineRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.Pace.__init__, "__defaults__", (0.0, progress.time.monotonic))
    lines: list[str] = []
    open_engine(tensorrt, request_of, tmp_path, lines.append)
    assert any(line.startswith("building: ") and " step 1 of " in line for line in lines)


@pytest.mark.usefixtures("plans_as_engines")
def test_an_interrupt_while_building_ends_the_build(
    tensorrt: ModuleType, request_of: EngineRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Any, line: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.Pace, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_engine(tensorrt, request_of, tmp_path, lambda line: None)
    assert not list(tmp_path.glob("*.plan"))


def test_progress_is_told_every_few_seconds_only() -> None:
    now, lines = [0.0], []
    pace = progress.Pace(lines.append, every_s=5.0, clock=lambda: now[0])
    for second in range(12):
        now[0] = float(second)
        pace("tactic")
    assert lines == ["tactic (5 s)", "tactic (10 s)"]


@pytest.mark.parametrize("sizes", [(0, 1, 1), (2, 1, 4), (1, 8, 4)])
def test_a_profile_must_be_ordered(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="profile: expected 1 <= min <= opt <= max"):
        BatchProfile(*sizes)
