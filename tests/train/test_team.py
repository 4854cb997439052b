"""Several processes train what one trains: gloo on the CPU, 2 and 3 of them (batches of 50 are no multiple of 3)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hkd_edge.errors import TrainingError
from hkd_edge.recipe.schema import Training
from hkd_edge.train.batch_norm import TeamBatchNorm, norm_over
from hkd_edge.train.device import select_device
from hkd_edge.train.loop import Fit, fit
from hkd_edge.train.team import ALONE, Team
from tests.train.team_member import CPU, DoubleTask, Silent, train_all

# What is left of float64 is rounding of the order of sums; float32 after 16 steps differed by 4e-6 at most.
DOUBLE_TOLERANCE = 1e-11
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train_all(ALONE, tmp_path_factory.mktemp("alone"))
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("team") / "results.pt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, str(Path(__file__).with_name("team_member.py")), str(out)]
    common = {"WORLD_SIZE": str(request.param), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    members = [
        subprocess.Popen(command, env={**os.environ, **common, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(request.param)
    ]
    errors = [member.communicate(timeout=120)[1] for member in members]
    assert all(member.returncode == 0 for member in members), errors
    results: dict[str, Any] = torch.load(out, weights_only=True)
    return results


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((value.double() - other[name].double()).abs().max()) for name, value in one.items())


def test_a_team_trains_the_same_weights_and_statistics_as_one_process(alone: Any, together: Any) -> None:
    assert largest_difference(alone["double"]["state"], together["double"]["state"]) < DOUBLE_TOLERANCE


@pytest.mark.parametrize("name", ["concept", "task", "student"])
def test_every_task_of_ours_trains_the_same_network_in_a_team(alone: Any, together: Any, name: str) -> None:
    assert largest_difference(alone[name]["state"], together[name]["state"]) < TOLERANCE


@pytest.mark.parametrize("name", ["double", "concept", "task", "student"])
def test_a_team_tells_the_same_losses_and_accuracies(alone: Any, together: Any, name: str) -> None:
    for mine, theirs in zip(alone[name]["history"], together[name]["history"], strict=True):
        assert theirs == pytest.approx(mine, abs=TOLERANCE)


def test_teachers_answer_the_same_in_a_team(alone: Any, together: Any) -> None:
    assert largest_difference(alone["answers"], together["answers"]) < TOLERANCE


def test_the_weights_differ_before_they_are_shared() -> None:
    one, other = DoubleTask(Team(0, 2)), DoubleTask(Team(1, 2))
    assert largest_difference(one.module.state_dict(), other.module.state_dict()) > 0.1


def test_parts_are_whole_together() -> None:
    rows = torch.arange(50)
    assert torch.cat([Team(rank, 3).part(rows) for rank in range(3)]).equal(rows)


def test_batch_norms_are_replaced_at_any_depth_with_the_same_weights() -> None:
    module = nn.Sequential(nn.Sequential(nn.BatchNorm2d(3)), nn.Conv2d(3, 3, 1))
    weight, names = module[0][0].weight, list(module.state_dict())  # type: ignore[index]
    norm_over(Team(0, 2), module)
    norm = module[0][0]  # type: ignore[index]
    assert isinstance(norm, TeamBatchNorm)
    assert norm.weight is weight
    assert list(module.state_dict()) == names


def test_a_replaced_batch_norm_answers_like_before_in_evaluation() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3))
    module(torch.randn(8, 3, 4, 4))
    images, norm = torch.randn(2, 3, 4, 4), module.eval()
    before = norm(images)
    norm_over(Team(0, 2), module)
    assert torch.equal(module(images), before)


def test_fewer_images_in_a_batch_than_processes_are_refused(tmp_path: Path) -> None:
    job = Fit(Training(epochs=1, batch_size=2), 120, 0, CPU, tmp_path / "c.pt", "key", Team(0, 3))
    with pytest.raises(TrainingError, match="each of 3 processes, got batches of 2. Raise training.batch_size"):
        fit(DoubleTask(Team(0, 3)), job, Silent())


def test_a_numbered_gpu_is_refused_for_several_processes() -> None:
    with pytest.raises(TrainingError, match=r"expected auto, cpu or cuda for 2 processes.*got 'cuda:1'"):
        select_device("cuda:1", Team(0, 2))


def test_more_processes_than_gpus_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"got 'cuda:99' with \d+ device.*start fewer processes"):
        select_device("cuda", Team(99, 100, 99))
