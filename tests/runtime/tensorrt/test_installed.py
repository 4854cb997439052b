from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hkd_edge_runtime.tensorrt import installed as installed_module
from hkd_edge_runtime.tensorrt.installed import (
    Gpu,
    Log,
    current_gpu,
    find_tensorrt,
    flavour,
    found_title,
    log_of,
    search_tensorrt,
)
from tests.conftest import module


class Driver:
    """A CUDA driver with one Orin, or with none."""

    def __init__(self, status: int = 0, devices: int = 1) -> None:
        self.status, self.devices = status, devices

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        return 0 if ordinal < self.devices else 100

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = b"Orin"
        return 0

    def cuDeviceGetAttribute(self, number: Any, attribute: int, device: Any) -> int:
        number._obj.value = {75: 8, 76: 7}[attribute]
        return 0


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch):
    def load(driver: Driver | None) -> None:
        monkeypatch.setattr(installed_module, "_cuda_driver", lambda: driver)

    return load


def test_tensorrt_comes_before_tensorrt_rtx(installed) -> None:
    full, rtx = module("tensorrt"), module("tensorrt_rtx_bindings")
    installed(rtx)
    assert find_tensorrt() is rtx
    installed(full, rtx)
    assert find_tensorrt() is full
    assert [flavour(one) for one in (full, rtx, module("tensorrt_rtx"))] == ["tensorrt", "tensorrt-rtx", "tensorrt-rtx"]


def test_what_would_be_tried_first_is_told_without_an_import(
    installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed()
    assert found_title() is None
    monkeypatch.delitem(sys.modules, "tensorrt")
    (tmp_path / "tensorrt.py").write_text("raise SystemExit('imported')")
    (tmp_path / "tensorrt-10.3.0.dist-info").mkdir()
    (tmp_path / "tensorrt-10.3.0.dist-info" / "METADATA").write_text("Name: tensorrt\nVersion: 10.3.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert found_title() == "TensorRT 10.3.0"


def test_a_package_whose_libraries_are_missing_is_kept_with_its_error(
    installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed()
    monkeypatch.delitem(sys.modules, "tensorrt")
    message = "libnvinfer.so.10: cannot open shared object file"
    (tmp_path / "tensorrt.py").write_text(f"raise ImportError({message!r})")
    monkeypatch.syspath_prepend(tmp_path)
    assert search_tensorrt() == (None, {"tensorrt": message})


@pytest.mark.parametrize("driver", [None, Driver(status=100), Driver(devices=0)], ids=["absent", "broken", "no device"])
def test_no_usable_driver_is_no_gpu(drive, driver: Driver | None) -> None:
    drive(driver)
    assert current_gpu() is None


def test_the_gpu_has_a_name_and_a_compute_capability(drive) -> None:
    drive(Driver())
    assert current_gpu() == Gpu("Orin", "8.7")


def test_the_driver_is_looked_for_under_the_names_of_linux_and_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(name: str) -> None:
        asked.append(name)
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert current_gpu() is None
    assert asked == ["libcuda.so.1", "nvcuda.dll"]


class Speaking(ModuleType):
    """As much of TensorRT as a log needs; the levels are those of nvinfer1::ILogger."""

    class ILogger:
        WARNING = 2


def test_a_log_keeps_errors_and_warnings_once_and_drops_the_rest() -> None:
    log = Log(Speaking("tensorrt"))
    for severity, message in ((1, "broken"), (2, "odd\n"), (2, "odd"), (3, "for your information"), (4, "chatter")):
        log.logger.log(severity, message)
    assert (log.errors, log.warnings) == (("broken",), ("odd",))
    log.clear()
    assert (log.errors, log.warnings) == ((), ())


def test_a_process_has_one_log_per_module() -> None:
    one = Speaking("tensorrt")
    assert log_of(one) is log_of(one)
