"""Where the time of our training step goes, by torch.profiler: by part of the step, and by kind of operation.

    python benchmarks/profile_step.py [--job teacher|student] [--steps 12]

The step is that of benchmarks/training.py (Fashion-MNIST, batches of 128, fp32). Shares are of the time of whole steps;
the profiler itself costs a few microseconds an operation, which counts for the smallest ones. Last comes a bound: what
the step's convolutions and linear layers would take at the speed of this machine's best product of two matrices, if all
else took no time.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from contenders import SETTINGS, Setting, our_run  # the script beside this one
from rich.console import Console
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from hkd_edge.report.progress import Reporter
from hkd_edge.train.loop import Run
from hkd_edge_runtime.board import read_board

WARM_UP = 5
MATRIX = 1536  # rows and columns: large enough for the best speed, small enough for the cache
PRODUCTS = 40
STEP, LOSS = "whole step", "augmentation, network forward, loss"
AUGMENT, FORWARD, BACKWARD, OPTIMIZER = "augmentation and normalisation", "network forward", "backward", "optimiser"
KINDS = {
    "convolutions": ("conv",),
    "batch norms": ("batch_norm",),
    "rectifiers, sums and pooling": ("relu", "threshold", "add", "mean", "div", "expand"),
    "linear layers": ("addmm", "aten::mm", "linear", "aten::t"),
    "optimiser": ("_foreach",),
}


@contextmanager
def marked(run: Run) -> Iterator[None]:
    """Within the block the parts of the steps of `run` are marked for the profiler."""
    task: Any = run.task
    network = task.module if not isinstance(task.module, torch.nn.ModuleDict) else task.module["student"]
    places = (
        (task._data, "view_batch", AUGMENT),
        (network, "embed", FORWARD),
        (task, "loss", LOSS),
        (torch.Tensor, "backward", BACKWARD),
        (run.optimizer, "step", OPTIMIZER),
    )
    before = [(owner, name, owner.__dict__.get(name)) for owner, name, _ in places]
    for owner, name, part in places:
        setattr(owner, name, in_part(getattr(owner, name), part))
    try:
        yield
    finally:
        for owner, name, own in before:
            delattr(owner, name) if own is None else setattr(owner, name, own)


def in_part(call: Callable[..., Any], part: str) -> Callable[..., Any]:
    """`call`, marked as `part`."""

    def marked_call(*args: Any, **kwargs: Any) -> Any:
        with record_function(part):
            return call(*args, **kwargs)

    return marked_call


def profiled(run: Run, steps: int) -> tuple[Any, int]:
    """The profiler's averages over `steps` steps after the warm-up, and the floating point operations of a step."""
    progress = Reporter(Console(quiet=True)).training("", "", "", run.job.image_count)
    taken = itertools.chain.from_iterable(run.steps(epoch, progress) for epoch in range(SETTINGS.epochs))
    for _ in itertools.islice(taken, WARM_UP):
        pass
    with marked(run), profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            with record_function(STEP):
                next(taken)
    with FlopCounterMode(display=False) as counter:
        next(taken)
    return profiler.key_averages(), counter.get_total_flops()


def best_gflops() -> float:
    """The best speed of a product of two square fp32 matrices, in GFLOP/s, with the threads of the step."""
    left, right = torch.rand(2, MATRIX, MATRIX)
    best_s = float("inf")
    for _ in range(PRODUCTS):
        start_s = time.perf_counter()
        torch.mm(left, right)
        best_s = min(best_s, time.perf_counter() - start_s)
    return 2e-9 * MATRIX**3 / best_s


def parts(averages: Any) -> dict[str, float]:
    """Share of the steps' time in percent, by part."""
    total_us = {each.key: each.cpu_time_total for each in averages}
    step = total_us[STEP]
    shown = {part: total_us[part] for part in (AUGMENT, FORWARD)}
    shown["loss"] = total_us[LOSS] - sum(shown.values())
    shown |= {part: total_us[part] for part in (BACKWARD, OPTIMIZER)}
    shown["rest: schedule, progress"] = step - sum(shown.values())
    return {part: 100 * time / step for part, time in shown.items()}


def kinds(averages: Any) -> dict[str, float]:
    """Share of the steps' time in percent, by kind of operation; backward is counted with forward."""
    step = next(each.cpu_time_total for each in averages if each.key == STEP)
    shares: dict[str, float] = defaultdict(float)
    for each in averages:
        if each.key.startswith(("aten::", "autograd::", "torch::")) or "Backward" in each.key:
            kind = next((kind for kind, words in KINDS.items() if any(word in each.key.lower() for word in words)), "")
            shares[kind or "other: indexing of views, losses, copies"] += 100 * each.self_cpu_time_total / step
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def main() -> None:
    """Profiles and prints."""
    parser = argparse.ArgumentParser(description="Where the time of our training step goes.")
    parser.add_argument("--job", choices=("teacher", "student"), default="teacher")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--change", default="", help="one of the changes of benchmarks/training.py --changes")
    options = parser.parse_args()
    averages, flops = profiled(our_run(Setting(options.job), options.change), options.steps)
    step_ms = next(each.cpu_time_total for each in averages if each.key == STEP) / options.steps / 1000
    print(f"machine {dict(read_board().facts)}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(
        f"{options.job} {options.change}: {options.steps} steps of {SETTINGS.batch_size} images, {step_ms:.1f} ms each"
    )
    for title, shares in (("by part", parts(averages)), ("by kind of operation", kinds(averages))):
        print(title)
        for name, share in shares.items():
            print(f"  {share:5.1f} %  {name}")
    gflops = best_gflops()
    bound_ms = flops / gflops / 1e6
    print(
        f"bound: {flops / 1e9:.2f} GFLOP a step, {gflops:.0f} GFLOP/s at best: {bound_ms:.1f} ms, "
        f"{1000 * SETTINGS.batch_size / bound_ms:.0f} images/s"
    )


if __name__ == "__main__":
    main()
