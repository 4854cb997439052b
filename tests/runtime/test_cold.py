from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hkd_edge_runtime import cold
from hkd_edge_runtime.backends import BACKENDS
from hkd_edge_runtime.cold import ColdStart, measure_cold_start, measure_file_start, start_here
from hkd_edge_runtime.errors import BundleError, MissingBackendError
from hkd_edge_runtime.manifest import Artefact, read_manifest


def only_artefact(bundle: Path) -> Artefact:
    (artefact,) = read_manifest(bundle).artefacts
    return artefact


def test_a_fresh_process_tells_times_and_memory(bundle_maker: Callable[..., Path]) -> None:
    bundle = bundle_maker({"target": "onnxruntime"})
    told = measure_cold_start(bundle, only_artefact(bundle), threads=1, starts=1)
    assert told.starts == 1
    assert told.load_ms > told.first_answer_ms > 0
    if sys.platform == "linux":
        assert told.rss_before_bytes is not None
        assert told.rss_bytes is not None
        assert told.rss_peak_bytes is not None
        # Numpy takes some 25 MB, ONNX Runtime as much again.
        assert 10e6 < told.rss_before_bytes < told.rss_bytes <= told.rss_peak_bytes < 1e9


def test_the_numbers_are_medians(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = iter(
        [ColdStart(9, 3, 1, 10, None, 30), ColdStart(1, 1, 1, 30, None, 10), ColdStart(2, 2, 1, 20, None, 20)]
    )
    monkeypatch.setattr(cold, "_start", lambda *arguments: next(starts))
    assert measure_cold_start(bundle, only_artefact(bundle), threads=1, starts=3) == ColdStart(2, 2, 3, 20, None, 20)


def test_a_start_in_this_process_answers_by_the_artefact_asked_for(bundle: Path) -> None:
    assert start_here(bundle, "fake", "fp32", 1).starts == 1


def test_what_a_process_refused_is_told(bundle_maker: Callable[..., Path]) -> None:
    bundle = bundle_maker({"target": "onnxruntime"}, golden_shift=0.5)
    with pytest.raises(BundleError, match="onnxruntime fp32: expected an answer from a fresh process, got: .*golden"):
        measure_cold_start(bundle, only_artefact(bundle), threads=1, starts=1)


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_a_file_without_a_bundle_is_started_likewise(
    model_writer: Callable[..., tuple[Path, ...]], toy: Any, tmp_path: Path, target: str
) -> None:
    told = measure_file_start(target, model_writer(target, tmp_path, toy)[0], threads=1, starts=1)
    assert told.starts == 1
    assert told.load_ms > 0
    assert told.first_answer_ms > 0
    if sys.platform == "linux":
        assert told.rss_before_bytes is not None
        assert told.rss_bytes is not None
        assert told.rss_peak_bytes is not None
        # The runtime is imported by the start itself, and takes at least some megabytes.
        assert 10e6 < told.rss_before_bytes + 5e6 < told.rss_bytes <= told.rss_peak_bytes < 1e9


def test_the_numbers_of_a_file_are_medians_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = iter([ColdStart(9, 3, 1), ColdStart(1, 1, 1), ColdStart(2, 2, 1)])
    monkeypatch.setattr(cold, "_start", lambda *arguments: next(starts))
    assert measure_file_start("fake", tmp_path / "model.npz", threads=1, starts=3) == ColdStart(2, 2, 3)


def test_a_file_that_its_runtime_refuses_is_told(tmp_path: Path, model_writer: Any, toy: Any) -> None:
    (path,) = model_writer("onnxruntime", tmp_path, toy)
    path.write_bytes(b"no model")
    with pytest.raises(BundleError, match=r"onnxruntime model\.onnx: expected an answer .*refuses it"):
        measure_file_start("onnxruntime", path, threads=1, starts=1)


@pytest.mark.parametrize(
    ("target", "message"), [("onnxruntme", "Did you mean 'onnxruntime'"), ("missing", "expected a runtime for missing")]
)
def test_a_file_for_which_there_is_no_runtime_starts_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_backend: Any, target: str, message: str
) -> None:
    missing = type("MissingBackend", (fake_backend,), {"name": "missing", "package": "not_to_be_found"})
    monkeypatch.setattr(sys.modules["hkd_edge_fake_backend"], "MissingBackend", missing, raising=False)
    monkeypatch.setitem(BACKENDS, "missing", "hkd_edge_fake_backend:MissingBackend")
    with pytest.raises(MissingBackendError, match=message):
        measure_file_start(target, tmp_path / "model.npz", threads=1, starts=1)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "it was ended by SIGILL: its runtime does not suit"),
        ("raise SystemExit(3)", "got: it ended with exit code 3"),
    ],
)
def test_an_artefact_that_kills_its_process_is_told(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    run = subprocess.run

    def run_program(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        return run([sys.executable, "-c", program], **options)

    monkeypatch.setattr(cold.subprocess, "run", run_program)
    with pytest.raises(BundleError) as refused:
        measure_cold_start(bundle, only_artefact(bundle), threads=1, starts=1)
    assert message in str(refused.value)
