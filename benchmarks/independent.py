"""Our timings of a bundle against others' of the same files, one image and one thread:

    python benchmarks/independent.py BUNDLE|RUN [--rounds 5] [--seconds 1] [--tolerance 0.1] [--json]

Ours are `Backend.run_one` and `predict`, timed by the code of `bench` and `validate`. Theirs are a plain loop
(plain_loop.py, which imports nothing of ours) and OpenVINO's benchmark_app, in a fresh process each round; what they
tell is explained in docs/measuring.md. Exits with 1 if a ratio of what compares is further from 1 than the tolerance.

Where the speed of a machine changes by half within a second, as that of a shared virtual one does, numbers taken one
after the other do not compare. So theirs is stopped (SIGSTOP) while ours is timed for some milliseconds, and the other
way round, all on one processor: both see the same machine, and medians do not feel the call that a turn interrupts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from wrapper import versions

from hkd_edge_runtime import Model, load
from hkd_edge_runtime.backends import backend_class
from hkd_edge_runtime.board import read_board
from hkd_edge_runtime.bundle import open_bundle
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.golden import read_golden
from hkd_edge_runtime.manifest import Artefact
from hkd_edge_runtime.selection import is_usable, what_is_missing
from hkd_edge_runtime.turns import Pace, TimedCall, seconds_in_turns

TURN_S = 0.04
LEAST_CALLS = 200
PLAIN_LOOP = Path(__file__).with_name("plain_loop.py")
# Its package reports its use over the network unless this import fails.
BENCHMARK_APP = """
import sys
sys.modules["openvino_telemetry"] = None
from openvino.tools.benchmark.main import main
main()
"""
MEASURING = re.compile("measuring", re.IGNORECASE)
MEDIAN = re.compile(r"(Median|Inside): +([\d.]+) (us|ms)")
INSIDE = "inside the runtime"
US = {"us": 1.0, "ms": 1e3}


@dataclass(frozen=True)
class Opened:
    """An artefact with all that is needed to time it."""

    artefact: Artefact
    path: Path
    run_one: Callable[[Any], bytes]
    model: Model
    images: np.ndarray


@dataclass(frozen=True)
class Compared:
    """The medians of an artefact's calls against those that `theirs` tells; medians over the rounds, each in ratio too.

    Attributes:
        theirs: `plain loop`, its part `inside the runtime`, or `benchmark_app`, which tells such a part.
        ratio: of `run_one` to theirs; `lowest` and `highest` of the rounds.
        agreement: the ratio that should be 1. That is `ratio`, but for benchmark_app `ratio` over that of the plain
            loop's calls inside the runtime; None for these themselves.
    """

    artefact: str
    theirs: str
    theirs_us: float
    run_one_us: float
    predict_us: float
    ratio: float
    lowest: float
    highest: float
    agreement: float | None


def plain_loop(each: Opened, calls: int) -> list[str]:
    return [str(PLAIN_LOOP), each.artefact.target, str(each.path), str(calls)]


def benchmark_app(each: Opened, calls: int) -> list[str]:
    """With hint none, as it takes a number of threads only then; one stream is what the latency hint comes to."""
    shape = "[1," + ",".join(map(str, each.images.shape[1:])) + "]"
    one_thread = ["-hint", "none", "-nstreams", "1", "-nthreads", "1", "-api", "sync", "-infer_precision", "f32"]
    return ["-c", BENCHMARK_APP, "-m", str(each.path), "-shape", shape, "-niter", str(calls), *one_thread]


# What else times the files of a target: the words for a fresh Python.
OTHERS: dict[str, dict[str, Callable[[Opened, int], list[str]]]] = {
    "onnxruntime": {"plain loop": plain_loop},
    "openvino": {"plain loop": plain_loop, "benchmark_app": benchmark_app},
}


def compare(each: Opened, rounds: int, seconds: float) -> list[Compared]:
    """All comparisons of one artefact, `rounds` rounds of about `seconds` of calls each."""
    calls = max(LEAST_CALLS, round(seconds / statistics.median(_ours(each)[0])))
    rows: dict[str, Compared] = {}
    for name, words in OTHERS[each.artefact.target].items():
        found = [_one_round(each, words(each, calls)) for _ in range(rounds)]
        for told in found[0][0]:
            title = INSIDE if told == "Inside" else name
            rows[title] = _compared(each.artefact.title, title, [(theirs[told], *ours) for theirs, ours in found])
    return [replace(row, agreement=_agreement(row, rows)) for row in rows.values()]


def _compared(artefact: str, theirs: str, rounds: list[tuple[float, float, float]]) -> Compared:
    """Of theirs, `run_one` and `predict` in us for each round."""
    found = np.array(rounds)
    ratios = np.percentile(found[:, 1] / found[:, 0], (50, 0, 100)).round(4).tolist()
    return Compared(artefact, theirs, *np.median(found, axis=0).round(2).tolist(), *ratios, agreement=None)


def _agreement(row: Compared, rows: dict[str, Compared]) -> float | None:
    if row.theirs == INSIDE:
        return None
    return round(row.ratio / rows[INSIDE].ratio, 4) if row.theirs == "benchmark_app" else row.ratio


def _one_round(each: Opened, words: list[str]) -> tuple[dict[str, float], tuple[float, float]]:
    """Medians in us: all that theirs tells, and `run_one` and `predict`, in turns until theirs has done its calls."""
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as them:
        assert them.stdout is not None
        told = []
        for line in them.stdout:
            told.append(line)
            if MEASURING.search(line):
                break
        run_one: list[float] = []
        predict: list[float] = []
        while them.poll() is None:
            them.send_signal(signal.SIGSTOP)
            for mine, seconds in zip((run_one, predict), _ours(each), strict=True):
                mine += seconds
            them.send_signal(signal.SIGCONT)
            time.sleep(TURN_S)
        told += them.stdout
    theirs = {name: float(number) * US[unit] for name, number, unit in MEDIAN.findall("".join(told))}
    if them.returncode != 0 or "Median" not in theirs or not run_one:
        raise SystemExit(f"{words}: expected a median, got exit code {them.returncode}: {''.join(told)}")
    return theirs, (1e6 * statistics.median(run_one), 1e6 * statistics.median(predict))


def _ours(each: Opened) -> list[list[float]]:
    """The seconds of the calls of `run_one`, and of `predict`, in one turn of each."""
    calls = [_timed(each.run_one, each.images), _timed(each.model.predict, each.images)]
    return seconds_in_turns(calls, Pace(TURN_S / 2))


def _timed(answer: Callable[[np.ndarray], object], images: np.ndarray) -> TimedCall:
    def call(run: int) -> float:
        image = images[run % len(images)]
        started = time.perf_counter()
        answer(image)
        return time.perf_counter() - started

    return call


@contextmanager
def opened(path: Path) -> Iterator[list[Opened]]:
    """The artefacts of the bundle that run here and that others can time; the rest is told on standard error."""
    with open_bundle(path) as bundle, ExitStack() as stack:
        images = read_golden(bundle.place(bundle.manifest.golden.file), bundle.manifest).images
        ready = []
        for artefact in bundle.manifest.artefacts:
            if artefact.target not in OTHERS or not is_usable(artefact):
                reason = "nobody else times its files" if is_usable(artefact) else what_is_missing([artefact])
                print(f"{artefact.title}: left out: {reason}", file=sys.stderr)
                continue
            file = bundle.place(*artefact.files) / artefact.files[0].path
            backend = stack.enter_context(closing(backend_class(artefact.target).for_artefact(artefact)))
            backend.open(file)
            model = stack.enter_context(load(path, artefact.target, artefact.precision))
            ready.append(Opened(artefact, file, backend.one_image(bytes), model, images))
        if not ready:
            raise BundleError(f"{path}: expected an artefact that can be timed here, found none. Install its runtime.")
        yield ready


def main() -> int:
    """Measures and prints; the exit code tells whether all agree."""
    parser = argparse.ArgumentParser(description="Our timings against others' of the same files.")
    parser.add_argument("path", type=Path, metavar="BUNDLE|RUN")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--seconds", type=float, default=1.0, help="of their calls in each round (default 1)")
    parser.add_argument("--tolerance", type=float, default=0.1, help="of the ratios from 1 (default 0.1)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    path = options.path / "bundle" if (options.path / "bundle").is_dir() else options.path
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with opened(path) as artefacts:
        rows = [row for each in artefacts for row in compare(each, options.rounds, options.seconds)]
    board = read_board()
    report = {
        "machine": dict(board.facts) | {"cpu_flags": board.cpu_flags},
        "versions": versions(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "threads": 1,
        "tolerance": options.tolerance,
        "rows": [asdict(row) for row in rows],
    }
    print(json.dumps(report, indent=2) if options.json else _text(report, rows))
    return int(any(row.agreement and abs(row.agreement - 1) > options.tolerance for row in rows))


def _text(report: dict[str, object], rows: list[Compared]) -> str:
    lines = [
        f"{report['machine']}, {report['versions']}",
        f"{report['rounds']} rounds of {report['seconds']} s, 1 thread, batch 1; us",
        "",
        "| artefact | theirs | | `run_one` | `predict` | `run_one` / theirs (of rounds) | agreement |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        times = " | ".join(f"{us:.1f}" for us in (row.theirs_us, row.run_one_us, row.predict_us))
        ratio = f"{row.ratio:.3f} ({row.lowest:.3f} to {row.highest:.3f})"
        agreement = "" if row.agreement is None else f"{row.agreement:.3f}"
        lines.append(f"| {row.artefact} | {row.theirs} | {times} | {ratio} | {agreement} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
