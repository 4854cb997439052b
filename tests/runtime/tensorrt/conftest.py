from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from hkd_edge_runtime.tensorrt import cuda as cuda_module
from hkd_edge_runtime.tensorrt import installed
from hkd_edge_runtime.tensorrt.installed import MODULES, Gpu
from tests.runtime.tensorrt.stand_in import FakeCuda, stand_in

ORIN = Gpu("Orin", "8.7")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory of the user; engines come to lie in its `hkd-edge/engines`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def engines(cache: Path) -> Path:
    return cache / "hkd-edge" / "engines"


@pytest.fixture
def device() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def board(device: FakeCuda, cache: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The stand-in for TensorRT 10.3, installed on a board with an Orin and an empty cache."""
    module = stand_in(device)
    for name in MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setitem(sys.modules, "cuda.bindings", ModuleType("cuda.bindings"))
    monkeypatch.setattr(installed, "current_gpu", lambda: ORIN)
    monkeypatch.setattr(cuda_module, "CudaRuntime", lambda: device)
    return module
