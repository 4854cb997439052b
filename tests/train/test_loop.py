"""The loop learns, and a training that was killed and resumed ends with the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd_edge.errors import TrainingError
from hkd_edge.recipe.schema import Training
from hkd_edge.train.device import has_fast_bf16, select_device, select_precision
from hkd_edge.train.loop import EpochResult, Fit, Run, fit
from hkd_edge.train.optimizer import image_scale, learning_rate_factor, make_optimizer


class LineTask:
    """Which side of a line is a point on? 200 points, a linear model with batch norm (which has buffers)."""

    def __init__(self, scale: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.points = torch.randn(200, 2, generator=generator) * scale
        self.labels = (self.points.sum(1) > 0).long()
        torch.manual_seed(0)
        self.module: nn.Module = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))

    def loss(self, epoch: int, indices: Tensor) -> Tensor:
        return F.cross_entropy(self.module(self.points[indices]), self.labels[indices])

    def accuracies(self, epoch: int, module: nn.Module) -> dict[str, float]:
        right = module(self.points).argmax(1) == self.labels
        return {"top1": 100 * right.double().mean().item()}


class Silent:
    """Progress that keeps what it is told; raises KeyboardInterrupt after `stop_after` epochs."""

    def __init__(self, stop_after: int = 0) -> None:
        self.epochs: list[EpochResult] = []
        self.steps: list[tuple[int, int]] = []
        self._stop_after = stop_after

    def step(self, done: int, total: int) -> None:
        self.steps.append((done, total))

    def epoch(self, result: EpochResult, epochs: int) -> None:
        self.epochs.append(result)
        if len(self.epochs) == self._stop_after:
            raise KeyboardInterrupt


def job(folder: Path, key: str = "k", **settings: float) -> Fit:
    training = Training(epochs=4, batch_size=32, learning_rate=0.1, **settings)  # type: ignore[arg-type]
    return Fit(training, 200, 0, torch.device("cpu"), folder / "checkpoint.pt", key)


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_loop_learns(tmp_path: Path) -> None:
    history = fit(LineTask(), job(tmp_path), Silent())
    assert history[-1].accuracies["top1"] > 95
    assert history[-1].loss < history[0].loss


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_training_that_was_interrupted_ends_with_the_same_bits(tmp_path: Path, ema_decay: float) -> None:
    whole, broken, resumed = LineTask(), LineTask(), LineTask()
    fit(whole, job(tmp_path / "whole", ema_decay=ema_decay), Silent())
    with pytest.raises(KeyboardInterrupt):
        fit(broken, job(tmp_path / "broken", ema_decay=ema_decay), Silent(stop_after=2))
    progress = Silent()
    fit(resumed, job(tmp_path / "broken", ema_decay=ema_decay), progress)
    assert equal(whole.module, resumed.module)
    assert len(progress.steps) == 2 * job(tmp_path).steps_per_epoch  # two epochs were left
    assert len(progress.epochs) == 4  # and the earlier ones are told again


def test_steps_are_taken_when_they_are_asked_for(tmp_path: Path) -> None:
    task, progress = LineTask(), Silent()
    steps = Run(task, job(tmp_path)).steps(0, progress)
    assert progress.steps == []
    assert next(steps).shape == ()
    assert progress.steps == [(1, 24)]
    assert len(list(steps)) == 5


def test_a_checkpoint_of_another_key_is_left_unused(tmp_path: Path) -> None:
    fit(LineTask(), job(tmp_path, key="old"), Silent())
    progress = Silent()
    fit(LineTask(), job(tmp_path, key="new"), progress)
    assert len(progress.steps) == 4 * 6


def test_a_damaged_checkpoint_is_left_unused(tmp_path: Path) -> None:
    fit(LineTask(), job(tmp_path), Silent())
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    progress = Silent()
    fit(LineTask(), job(tmp_path), progress)
    assert len(progress.steps) == 4 * 6


def test_a_loss_that_is_not_finite_ends_the_training_with_advice(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"expected a finite training loss, got nan in epoch 1. Lower the learning"):
        fit(LineTask(scale=float("nan")), job(tmp_path), Silent())


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    few = Fit(Training(epochs=1, batch_size=512), 200, 0, torch.device("cpu"), Path(), "k")
    assert (few.batch_size, few.steps_per_epoch) == (200, 1)


def test_the_first_epochs_see_smaller_images_if_asked_for() -> None:
    settings = Training(epochs=4, progressive_fraction=0.5, progressive_scale=0.6)
    assert [image_scale(epoch, settings) for epoch in range(4)] == [0.6, 0.6, 1.0, 1.0]
    assert image_scale(0, Training(epochs=4)) == 1.0


def test_the_schedule_rises_to_its_peak_and_falls_towards_zero() -> None:
    factors = [learning_rate_factor(step, 100, 0.2) for step in range(100)]
    assert max(factors) == factors[19] == factors[20] == 1
    assert factors == sorted(factors[:20]) + sorted(factors[20:], reverse=True)
    assert factors[-1] == 1 / 80


def test_without_warm_up_the_schedule_starts_at_its_peak() -> None:
    assert learning_rate_factor(0, 10, 0.0) == 1


def test_biases_and_batch_norm_are_not_decayed() -> None:
    decayed, others = make_optimizer(LineTask().module, Training(epochs=1)).param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert (len(others["params"]), others["weight_decay"]) == (3, 0.0)


def test_a_cuda_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"got 'cuda:99' with \d+ device"):
        select_device("cuda:99")


def test_auto_precision_is_bf16_just_where_the_device_has_it() -> None:
    cpu = torch.device("cpu")
    assert select_precision("auto", cpu) == ("bf16" if has_fast_bf16(cpu) else "fp32")
    assert select_precision("bf16", cpu) == "bf16"
