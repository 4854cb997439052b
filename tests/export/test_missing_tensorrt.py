"""Why no engine can be built on this workstation."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hkd_edge_export import to_tensorrt
from hkd_edge_export.to_tensorrt import find_tensorrt, missing_reason
from hkd_edge_runtime.tensorrt.installed import Gpu
from tests.conftest import module


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch):
    def gpu(name: str | None) -> None:
        monkeypatch.setattr(to_tensorrt, "current_gpu", lambda: Gpu(name, "8.7") if name else None)

    return gpu


def test_nothing_installed_is_said_with_the_two_ways_out(installed) -> None:
    installed()
    assert find_tensorrt() is None
    reason = missing_reason()
    assert reason is not None
    for part in (
        "expected TensorRT (module tensorrt) or TensorRT-RTX (module tensorrt_rtx), found neither",
        'pip install "hkd-edge[trt-rtx]"',
        "The board builds its own at first use, from the same ONNX file",
    ):
        assert part in reason


def test_tensorrt_rtx_needs_no_gpu(installed, drive) -> None:
    installed(module("tensorrt_rtx_bindings"))
    drive(None)
    assert missing_reason() is None


def test_tensorrt_needs_a_gpu(installed, drive) -> None:
    installed(module("tensorrt"))
    drive(None)
    assert "expected a GPU for TensorRT 10.3.0" in (missing_reason() or "")
    drive("Orin")
    assert missing_reason() is None


def test_a_package_whose_libraries_are_missing_is_named_with_its_error(
    installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed()
    monkeypatch.delitem(sys.modules, "tensorrt")
    message = "libnvinfer.so.10: cannot open shared object file"
    (tmp_path / "tensorrt.py").write_text(f"raise ImportError({message!r})")
    monkeypatch.syspath_prepend(tmp_path)
    assert f"tensorrt does not load: {message}" in (missing_reason() or "")
