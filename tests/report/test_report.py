"""What a person sees of a run: plain lines off a terminal, a bar on one."""

from __future__ import annotations

import io

from rich.console import Console

from hkd_edge.recipe.schema import Training
from hkd_edge.report.progress import Reporter
from hkd_edge.train.loop import EpochResult
from hkd_edge.train.optimizer import epoch_costs


def reporter(*, terminal: bool = False) -> tuple[Reporter, io.StringIO]:
    stream = io.StringIO()
    return Reporter(Console(file=stream, force_terminal=terminal, width=60)), stream


def test_off_a_terminal_each_event_is_one_plain_line() -> None:
    talking, stream = reporter()
    with talking:
        talking.stage_started("teach", "k")
        talking.work("steps", 1, 2)
        talking.training("teach", "concept", "teacher", 100).epoch(EpochResult(0, 0.5, {"kind": 97.531}, 2.0), 3)
        talking.stage_done("teach", 6.0)
        talking.stage_skipped("distill", "k")
    assert stream.getvalue().splitlines() == [
        "teach     teacher epoch 1/3: loss 0.5000, validation kind 97.53 %, 2.0 s, about 4 s left",
        "teach     done in 6.0 s",
        "distill   done already, skipped",
    ]


def test_the_time_left_knows_that_epochs_of_smaller_images_are_faster() -> None:
    talking, stream = reporter()
    costs = epoch_costs(Training(epochs=4, progressive_fraction=0.5, progressive_scale=0.25))
    assert costs == [0.125, 0.125, 1.0, 1.0]
    with talking:
        training = talking.training("teach", "concept", "teacher", 100, costs)
        for epoch, seconds in ((0, 1.0), (2, 8.0)):
            training.epoch(EpochResult(epoch, 0.5, {}, seconds), 4)
    assert [line.rpartition(", ")[2] for line in stream.getvalue().splitlines()] == [
        "about 17 s left",
        "about 8 s left",
    ]


def test_on_a_terminal_the_work_at_hand_is_a_bar() -> None:
    talking, stream = reporter(terminal=True)
    with talking:
        talking.training("teach", "concept", "teacher", 100).step(3, 10)
    assert "teacher" in stream.getvalue()
    assert "3/10" in stream.getvalue()
