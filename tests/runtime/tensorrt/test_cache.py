"""Engines are built once, by one process, and built again whenever the file is not the one that was written."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hkd_edge_runtime.files import sha256_file
from hkd_edge_runtime.tensorrt.cache import EngineKey, cached_engine
from hkd_edge_runtime.tensorrt.installed import Gpu
from hkd_edge_runtime.tensorrt.record import BatchProfile
from tests.runtime.tensorrt.conftest import ORIN

KEY = EngineKey("0" * 64, "tensorrt", "10.3.0", ORIN, "int8", BatchProfile(), 1)


class Maker:
    """Builds plans that differ, as TensorRT's do; opens those that `opens` likes."""

    def __init__(self, key: EngineKey = KEY) -> None:
        self.key, self.builds, self.opens = key, 0, lambda plan: True

    def build(self) -> bytes:
        self.builds += 1
        return f"plan {self.builds}".encode()

    def write(self, plan: bytes, out: Path) -> None:
        out.write_bytes(plan)
        record = {
            **{name: getattr(self.key, name) for name in ("onnx_sha256", "flavour", "version", "precision")},
            "compute_capabilities": [self.key.gpu.compute_capability],
            "profile": dataclasses.asdict(self.key.profile),
            "plan_sha256": sha256_file(out),
        }
        out.with_name(f"{out.name}.json").write_text(json.dumps(record))

    def deserialize(self, plan: bytes) -> str | None:
        return f"engine of {plan.decode()}" if self.opens(plan) else None


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def get(engines: Path, maker: Maker) -> Callable[..., Any]:
    def engine(key: EngineKey = KEY, tell: Callable[[str], None] = lambda line: None) -> Any:
        maker.key = key
        return cached_engine(engines, key, maker, tell)

    return engine


def test_the_second_time_the_plan_is_read(get: Any, maker: Maker) -> None:
    assert (get(), get()) == ("engine of plan 1", "engine of plan 1")
    assert maker.builds == 1


@pytest.mark.parametrize(
    "change",
    [
        {"onnx_sha256": "1" * 64},
        {"flavour": "tensorrt-rtx"},
        {"version": "10.16.0"},
        {"gpu": Gpu("Orin", "8.9")},
        {"gpu": Gpu("Orin (nvgpu)", "8.7")},
        {"precision": "fp16"},
        {"profile": BatchProfile(1, 8, 64)},
        {"settings": 2},
    ],
)
def test_each_thing_that_an_engine_depends_on_gives_it_a_file_of_its_own(
    get: Any, maker: Maker, engines: Path, change: dict[str, Any]
) -> None:
    get()
    assert get(dataclasses.replace(KEY, **change)) == "engine of plan 2"
    assert get() == "engine of plan 1"
    assert len(list(engines.glob("*.plan"))) == 2


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [_flip, _cut, Path.unlink])
@pytest.mark.parametrize("suffix", [".plan", ".json"])
def test_a_damaged_plan_or_record_is_built_again(
    get: Any, maker: Maker, engines: Path, harm: Callable[[Path], Any], suffix: str
) -> None:
    get()
    harm(next(engines.glob(f"*{suffix}")))
    assert get() == "engine of plan 2"
    assert (get(), maker.builds) == ("engine of plan 2", 2)


@pytest.mark.parametrize("name", ["onnx_sha256", "version", "flavour", "precision", "profile", "compute_capabilities"])
def test_a_record_of_another_engine_is_not_believed(get: Any, engines: Path, name: str) -> None:
    get()
    sidecar = next(engines.glob("*.json"))
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {name: "other"}))
    assert get() == "engine of plan 2"


def test_a_plan_that_tensorrt_refuses_is_built_again(get: Any, maker: Maker) -> None:
    get()
    maker.opens = lambda plan: plan != b"plan 1"
    lines: list[str] = []
    assert get(tell=lines.append) == "engine of plan 2"
    assert any("refused by this TensorRT; it is built again" in line for line in lines)


def test_a_new_plan_that_is_refused_too_is_no_engine(get: Any, maker: Maker) -> None:
    maker.opens = lambda plan: False
    assert get() is None


def test_where_nothing_can_be_written_the_engine_lives_in_memory(get: Any, engines: Path, maker: Maker) -> None:
    engines.parent.parent.mkdir()
    engines.parent.write_text("a file where the folder should be")
    for build in (1, 2):
        with pytest.warns(RuntimeWarning, match=r"expected to keep the TensorRT engine there, .* XDG_CACHE_HOME"):
            assert get() == f"engine of plan {build}"


def test_a_full_disk_is_a_warning_too(get: Any, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(plan: bytes, out: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(maker, "write", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert get() == "engine of plan 1"


def test_the_folder_is_the_users_alone(get: Any, engines: Path) -> None:
    get()
    assert engines.stat().st_mode & 0o077 == 0


PROCESS = """
import sys, time
from pathlib import Path
from hkd_edge_runtime.tensorrt.cache import cached_engine
from tests.runtime.tensorrt.test_cache import KEY, Maker

class Slow(Maker):
    def build(self):
        print("builds", flush=True)
        time.sleep(1.5)
        return super().build()

maker = Slow()
print(cached_engine(Path(sys.argv[1]), KEY, maker, lambda line: print(line, flush=True)), flush=True)
"""


def _start(engines: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-c", PROCESS, str(engines)]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_of_two_processes_one_builds_and_the_other_waits_for_it(engines: Path) -> None:
    pytest.importorskip("fcntl")
    first = _start(engines)
    assert first.stdout is not None
    assert first.stdout.readline() == "builds\n"
    second = _start(engines)
    assert [process.communicate(timeout=60)[0].splitlines() for process in (first, second)] == [
        ["engine of plan 1"],
        ["another process builds this engine; waiting for it", "engine of plan 1"],
    ]


def test_a_killed_builder_leaves_no_lock(engines: Path, get: Any) -> None:
    pytest.importorskip("fcntl")
    process = _start(engines)
    assert process.stdout is not None
    assert process.stdout.readline() == "builds\n"
    process.kill()
    process.communicate()
    started = time.monotonic()
    assert get() == "engine of plan 1"
    assert time.monotonic() - started < 5
