"""Images a second of training steps: this project's loop against torchdistill's and a plain DataLoader's.

    python benchmarks/training.py [--job JOB] [--rounds 8] [--steps 8] [--cached-torchdistill FOLDER] [--json]

Fashion-MNIST's 60,000 training images, flipped and shifted, batches of 128, fp32 on the CPU; the loops are in
benchmarks/contenders.py. Each has a process of its own and waits while another is timed. In a round all are timed once,
in an order drawn anew; its ratio is ours by theirs. Told are medians of the rounds, and for ratios the interval that
holds the true one with 95 %. FOLDER has torchdistill 1.1.4, the last version with a cache of teacher answers
(pip install --no-deps --target FOLDER torchdistill==1.1.4); without it the cache is left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import torch
from contenders import CHANGES  # scripts beside this one
from wrapper import median_interval

from hkd_edge_runtime.board import read_board

OURS = "hkd-edge"
RIVALS = (
    "torchdistill, 0 workers",
    "torchdistill, 2 workers",
    "torchdistill, 0 workers, channels_last",
    "plain DataLoader, 0 workers",
    "plain DataLoader, 2 workers",
)
CHANGED = tuple(f"{OURS}, {change}" for change in CHANGES)
CACHED = ("torchdistill with its cache, 0 workers", "torchdistill with its cache, 2 workers")
BATCH_SIZE = 128
WARM_UP = 5  # uses up the four batches that two workers have prepared while another was timed


@dataclass(frozen=True)
class Speed:
    """One contender in one job: median images a second of the rounds, and ours by its own with an interval."""

    job: str
    contender: str
    images_per_s: float
    ours_by_its: float
    interval: tuple[float, float]
    rounds: tuple[float, ...]


class Contender:
    """A loop in a process of its own, which runs only while it is asked to."""

    def __init__(self, job: str, name: str, threads: int, extra_path: Path | None) -> None:
        path = os.pathsep.join([str(extra_path or ""), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("contenders.py")), job, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": path},
        )

    def __enter__(self) -> Contender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # closes its stdin, at which it ends

    def answer(self) -> str:
        """Its next line.

        Raises:
            RuntimeError: if it has ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self.name}: expected an answer, got its end: {self._process.communicate()[1][-2000:]}"
            )
        return line

    def images_per_s(self, steps: int) -> float:
        """Its speed over `steps` steps from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{WARM_UP} {steps}\n")
        self._process.stdin.flush()
        return steps * BATCH_SIZE / float(self.answer())


def measure(job: str, names: Sequence[str], rounds: int, steps: int, threads: int, cached: Path | None) -> list[Speed]:
    """The speed of all contenders in `job`, each with `threads` threads beside the workers of its loader."""
    with ExitStack() as stack:
        contenders = [
            stack.enter_context(Contender(job, name, threads, cached if name in CACHED else None)) for name in names
        ]
        for contender in contenders:
            contender.answer()
        speeds: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for contender in random.sample(contenders, len(contenders)):
                speeds[contender.name].append(contender.images_per_s(steps))
    return [_speed(job, name, speeds[OURS], speeds[name]) for name in names]


def _speed(job: str, name: str, ours: Sequence[float], its: Sequence[float]) -> Speed:
    ratios = [mine / other for mine, other in zip(ours, its, strict=True)]
    low, high = median_interval(ratios)
    return Speed(
        job,
        name,
        round(statistics.median(its)),
        round(statistics.median(ratios), 3),
        (round(low, 3), round(high, 3)),
        tuple(round(each, 1) for each in its),
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Images a second of training steps, against other loops.")
    parser.add_argument("--job", choices=("teacher", "student", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=8, help="times that each is timed (default 8)")
    parser.add_argument("--steps", type=int, default=8, help="steps of each in a round (default 8)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cached-torchdistill", type=Path, metavar="FOLDER")
    parser.add_argument("--changes", action="store_true", help="our own loop with changes in the place of others'")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    speeds = []
    for job in ("teacher", "student") if options.job == "both" else (options.job,):
        names = [OURS, *(CHANGED if options.changes else RIVALS)]
        if job == "student" and options.cached_torchdistill and not options.changes:
            names += CACHED
        elif job == "student" and not options.changes:
            warnings.warn(f"{CACHED[0]}: left out, no --cached-torchdistill was given", stacklevel=1)
        speeds += measure(job, names, options.rounds, options.steps, options.threads, options.cached_torchdistill)
    report = {
        "machine": dict(read_board().facts),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in ("torch", "torchvision", "torchdistill")},
        "threads": options.threads,
        "rounds": options.rounds,
        "steps": options.steps,
        "batch_size": BATCH_SIZE,
        "speeds": [asdict(each) for each in speeds],
    }
    print(json.dumps(report, indent=2) if options.json else _text(report, speeds))


def _text(report: dict[str, object], speeds: list[Speed]) -> str:
    lines = [
        f"machine {report['machine']}, versions {report['versions']}",
        f"{report['rounds']} rounds of {report['steps']} steps of {BATCH_SIZE} images, {report['threads']} threads",
    ]
    lines += [
        f"{each.job:8} {each.contender:40} {each.images_per_s:7.0f} images/s   hkd-edge is "
        f"{each.ours_by_its:.2f} times as fast ({each.interval[0]:.2f} to {each.interval[1]:.2f})"
        for each in speeds
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
