"""What only a GPU shows of the backend; the contract that all backends share is in tests/runtime/test_backends.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hkd_edge_runtime.backends.tensorrt import TensorRtBackend
from hkd_edge_runtime.tensorrt.record import BatchProfile
from tests.runtime.conftest import Toy, write_onnx

pytestmark = pytest.mark.gpu
# Products of 20 floats in another order.
TOLERANCE = 1e-5


class Gpu:
    """A backend with the lines that it told."""

    def __init__(self, model: Path) -> None:
        self.lines: list[str] = []
        self.model = model
        self.backend = TensorRtBackend(BatchProfile(1, 2, 8), "fp32", tell=self.lines.append)

    def open(self) -> TensorRtBackend:
        self.lines.clear()
        self.backend.open(self.model)
        return self.backend


@pytest.fixture
def gpu(tmp_path: Path, toy: Toy, cache: Path) -> Iterator[Gpu]:
    reason = TensorRtBackend.missing_reason()
    if reason is not None:
        pytest.skip(reason)
    made = Gpu(write_onnx(tmp_path, toy)[0])
    yield made
    made.backend.close()


def test_graphs_are_captured_and_give_what_numpy_gives_at_every_size_of_batch(gpu: Gpu, toy: Toy) -> None:
    backend = gpu.open()
    for count in (1, 3, 8, 1, 3, 20, 8, 5):
        images = np.random.default_rng(count).integers(0, 256, (count, *toy.spec.shape), np.uint8)
        for _ in range(2):
            actual = backend.run(images).probabilities
            np.testing.assert_allclose(actual, toy.outputs(images).probabilities, atol=TOLERANCE)
    assert backend.graph_refusal is None


def test_the_engine_is_built_once_and_again_when_it_is_damaged(gpu: Gpu, toy: Toy, engines: Path) -> None:
    gpu.open()
    assert any("built in" in line for line in gpu.lines)
    gpu.open()
    assert gpu.lines == []
    (plan,) = engines.glob("*.plan")
    plan.write_bytes(plan.read_bytes()[:-1])
    backend = gpu.open()
    assert any("built again" in line for line in gpu.lines)
    images = toy.images(2)
    np.testing.assert_allclose(backend.run(images).logits, toy.outputs(images).logits, atol=TOLERANCE)
