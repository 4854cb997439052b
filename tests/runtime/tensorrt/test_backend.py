"""The backend on stand-ins for TensorRT and CUDA; on a GPU, tests/runtime/test_backends.py runs it for real."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hkd_edge_runtime.backends import backend_class
from hkd_edge_runtime.backends.tensorrt import TensorRtBackend
from hkd_edge_runtime.errors import BundleError, ClosedModelError, DeviceError, MissingBackendError
from hkd_edge_runtime.tensorrt import installed
from hkd_edge_runtime.tensorrt.execution import MAX_LANES, output_layout
from hkd_edge_runtime.tensorrt.record import BatchProfile
from tests.runtime.conftest import Toy, write_fake
from tests.runtime.tensorrt.stand_in import FakeCuda

Opener = Callable[..., TensorRtBackend]


@pytest.fixture
def opened(board: ModuleType, tmp_path: Path, toy: Toy) -> Iterator[Opener]:
    backends = []

    def open_toy(profile: BatchProfile | None = None, other: Toy | None = None) -> TensorRtBackend:
        (model,) = write_fake(tmp_path, other or toy)
        backends.append(TensorRtBackend(profile, "fp32", tell=lambda line: None))
        backends[-1].open(model)
        return backends[-1]

    yield open_toy
    for backend in backends:
        backend.close()


def pictures(toy: Toy, count: int) -> np.ndarray:
    """Images of which no two are alike, so that a row in the wrong place shows."""
    return np.random.default_rng(count).integers(0, 256, (count, *toy.spec.shape), np.uint8)


def agree(backend: TensorRtBackend, toy: Toy, count: int) -> None:
    images = pictures(toy, count)
    actual, expected = backend.run(images), toy.outputs(images)
    for name in ("logits", "probabilities", "concept_probabilities"):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name))


@pytest.mark.parametrize("count", [1, 2, 7, 64, 65, 130])
def test_the_outputs_are_those_of_numpy_at_the_first_run_and_from_the_graph(
    opened: Opener, toy: Toy, count: int
) -> None:
    backend = opened()
    for _ in range(3):
        agree(backend, toy, count)
    assert backend.graph_refusal is None


@pytest.mark.parametrize("which", ["rgb_toy", "flat_toy"])
def test_colours_and_models_without_axes_run_too(opened: Opener, request: pytest.FixtureRequest, which: str) -> None:
    toy = request.getfixturevalue(which)
    backend = opened(other=toy)
    for _ in range(2):
        agree(backend, toy, 3)


def test_sizes_of_batch_in_turn_do_not_disturb_each_other(opened: Opener, toy: Toy) -> None:
    backend = opened()
    for count in (1, 5, 1, 64, 5, 1, 70):
        agree(backend, toy, count)


def test_after_the_first_run_a_call_is_one_launch(opened: Opener, toy: Toy, device: FakeCuda) -> None:
    backend = opened()
    backend.run(pictures(toy, 2))
    classes, concepts = toy.hierarchy.membership().shape
    _, size = output_layout(2, {"logits": classes, "probabilities": classes, "concepts": concepts})
    queued = [f"copy_to_device {2 * 4 * 5}", "execute", f"copy_to_host {size}"]
    assert device.calls[-9:] == [*queued, "synchronize", "begin_capture", *queued, "end_capture"]
    device.calls.clear()
    backend.run(pictures(toy, 2))
    assert device.calls == ["launch", "synchronize"]


def test_memory_is_made_once_for_the_largest_batch(opened: Opener, toy: Toy, device: FakeCuda) -> None:
    backend = opened(BatchProfile(1, 1, 16))
    before = {address: len(content) for address, (_, content) in device.blocks.items()}
    for count in (16, 1, 40):
        backend.run(pictures(toy, count))
    assert {address: len(content) for address, (_, content) in device.blocks.items()} == before
    _, outputs = output_layout(16, {"logits": 4, "probabilities": 4, "concepts": 4})
    assert sorted(before.values()) == sorted([16 * 20, 16 * 20, outputs, outputs, 1000])


def test_a_batch_beyond_the_profile_is_split(opened: Opener, toy: Toy, device: FakeCuda, board: ModuleType) -> None:
    backend = opened(BatchProfile(1, 4, 16))
    assert backend.max_batch == 16
    agree(backend, toy, 40)
    assert [context.shape[0] for context in board.seen.engines[-1].contexts] == [16, 8]


def test_a_batch_below_the_profile_is_filled_up(opened: Opener, toy: Toy, board: ModuleType) -> None:
    backend = opened(BatchProfile(4, 4, 16))
    for count in (1, 3, 4):
        agree(backend, toy, count)
    assert [context.shape[0] for context in board.seen.engines[-1].contexts] == [4]


def test_the_sizes_used_least_lately_make_room(opened: Opener, toy: Toy, device: FakeCuda) -> None:
    backend = opened()
    for count in range(1, MAX_LANES + 1):
        backend.run(pictures(toy, count))
    backend.run(pictures(toy, 1))
    backend.run(pictures(toy, MAX_LANES + 1))
    assert len(device.graphs) == MAX_LANES
    device.calls.clear()
    agree(backend, toy, 1)
    assert device.calls == ["launch", "synchronize"]
    agree(backend, toy, 2)
    assert "begin_capture" in device.calls


@pytest.mark.parametrize("failing", ["begin_capture", "end_capture"])
def test_without_graphs_the_work_is_queued_at_each_call(
    opened: Opener, toy: Toy, device: FakeCuda, failing: str
) -> None:
    device.failing = {failing}
    backend = opened()
    for _ in range(2):
        agree(backend, toy, 3)
    assert backend.graph_refusal == f"{failing} failed"
    assert device.calls.count("begin_capture") == 1
    assert "launch" not in device.calls


def test_work_that_cannot_be_recorded_ends_the_recording(
    opened: Opener, toy: Toy, device: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened()
    begin = device.begin_capture

    def then_fail(stream: Any) -> None:
        begin(stream)
        device.failing = {"execute"}

    monkeypatch.setattr(device, "begin_capture", then_fail)
    images = pictures(toy, 3)
    np.testing.assert_array_equal(backend.run(images).logits, toy.outputs(images).logits)
    device.failing = set()
    agree(backend, toy, 3)
    assert "expected TensorRT to run an engine, but it refuses" in (backend.graph_refusal or "")
    assert device.graphs == []


def test_the_outputs_of_one_run_survive_the_next_and_the_end(opened: Opener, toy: Toy) -> None:
    backend, images = opened(), pictures(toy, 2)
    backend.run(images[:1])
    first = backend.run(images[:1]).probabilities
    kept = first.copy()
    backend.run(images[1:])
    backend.close()
    assert np.array_equal(first, kept)
    assert first.base is None or first.flags.owndata


def test_closing_frees_everything_and_is_said_afterwards(opened: Opener, toy: Toy, device: FakeCuda) -> None:
    backend = opened()
    for count in (1, 2):
        backend.run(pictures(toy, count))
    backend.close()
    backend.close()
    assert (device.blocks, device.graphs, device.streams) == ({}, [], 0)
    with pytest.raises(ClosedModelError, match="expected an open model on tensorrt"):
        backend.run(pictures(toy, 1))


@pytest.mark.parametrize("failing", ["create_stream", "allocate", "allocate_host"])
def test_what_cannot_be_allocated_leaves_nothing_behind(opened: Opener, device: FakeCuda, failing: str) -> None:
    device.failing = {failing}
    with pytest.raises(DeviceError, match=f"{failing} failed"):
        opened()
    assert (device.blocks, device.streams) == ({}, 0)


def test_a_refused_run_is_an_error_with_tensorrts_words(opened: Opener, toy: Toy, device: FakeCuda) -> None:
    backend = opened()
    device.failing = {"execute"}
    with pytest.raises(DeviceError, match="expected TensorRT to run an engine, but it refuses: no reason given"):
        backend.run(pictures(toy, 1))


def test_the_network_is_strongly_typed_in_full_fp32_for_the_batches_of_the_profile(
    opened: Opener, board: ModuleType
) -> None:
    opened(BatchProfile(1, 4, 16))
    assert board.seen.flags == 1 << 1
    assert board.seen.cleared == ["tf32"]
    assert board.seen.profile == ("images", (1, 4, 5, 1), (4, 4, 5, 1), (16, 4, 5, 1))


def test_the_engine_is_built_once_per_file_and_profile(
    opened: Opener, board: ModuleType, engines: Path, rgb_toy: Toy
) -> None:
    for _ in range(2):
        opened().close()
    assert board.seen.builds == 1
    opened(BatchProfile(1, 1, 8))
    opened(other=rgb_toy)
    assert board.seen.builds == 3
    assert len(list(engines.glob("*.plan"))) == 3


def test_a_file_that_is_no_model_is_refused(board: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(
        BundleError, match=r"model\.onnx: expected a network that TensorRT 10\.3\.0 parses.*not a model"
    ):
        backend_class("trt")().open(tmp_path / "model.onnx")
    with pytest.raises(BundleError, match=r"nowhere\.onnx: expected a model for TensorRT 10\.3\.0, which refuses it"):
        backend_class("trt")().open(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("alias", ["trt", "engine", "tensorrt"])
def test_it_has_aliases(alias: str) -> None:
    assert backend_class(alias) is TensorRtBackend


def test_a_board_with_all_that_is_needed_is_ready(board: ModuleType) -> None:
    assert TensorRtBackend.is_installed()
    assert TensorRtBackend().version() == "10.3.0"


def test_without_a_gpu_the_reason_names_what_was_found(
    board: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(installed, "current_gpu", lambda: None)
    monkeypatch.setattr(installed, "installed_version", lambda name: "10.3.0")
    assert not TensorRtBackend.is_installed()
    reason = "TensorRT 10.3.0 found, but no NVIDIA GPU (or no driver for it). Take another target here."
    assert TensorRtBackend.missing_reason() == reason
    with pytest.raises(MissingBackendError) as caught:
        TensorRtBackend().open(tmp_path / "model.onnx")
    assert str(caught.value) == reason


def test_without_cuda_bindings_the_reason_names_the_pip_command(
    board: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    reason = TensorRtBackend.missing_reason() or ""
    assert "expected cuda-bindings beside TensorRT, found none" in reason
    assert 'pip install "cuda-bindings>=12.6' in reason


def test_without_tensorrt_the_reason_says_where_it_comes_from(
    board: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert "expected TensorRT to be installed, found none. On a Jetson it comes with JetPack" in (
        TensorRtBackend.missing_reason() or ""
    )
    with pytest.raises(MissingBackendError, match="expected TensorRT to be installed, found none"):
        TensorRtBackend().open(tmp_path / "model.onnx")
