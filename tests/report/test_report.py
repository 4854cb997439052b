"""What a person sees of a run: plain lines off a terminal, a bar on one."""

from __future__ import annotations

import io

from rich.console import Console

from hkd_edge.report.progress import Reporter
from hkd_edge.train.loop import EpochResult


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


def test_on_a_terminal_the_work_at_hand_is_a_bar() -> None:
    talking, stream = reporter(terminal=True)
    with talking:
        talking.training("teach", "concept", "teacher", 100).step(3, 10)
    assert "teacher" in stream.getvalue()
    assert "3/10" in stream.getvalue()
