"""What the wrapper costs: `predict` against the fastest direct call of each runtime, import time, memory.

    python benchmarks/wrapper.py BUNDLE [--n 1000] [--rounds 10] [--imports 15] [--json]

Each round is a fresh process, since where the system lays code and arrays makes a process faster or slower as a whole.
In it raw call and `predict` make pairs, in an order drawn anew for each; `predict` gets another image each time, and
its answer's label is read outside the clock. A round's ratio is the median of its pairs' ratios, which the machine's
changes of speed do not touch; told are the median of the rounds and the interval that holds the true one with 95 %.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import platform
import random
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hkd_edge_runtime import Model, load
from hkd_edge_runtime.board import read_board
from hkd_edge_runtime.golden import read_golden
from hkd_edge_runtime.manifest import Artefact, read_manifest
from hkd_edge_runtime.raw import RAW_CALLS
from hkd_edge_runtime.selection import is_usable

WARM_UP = 200
LEVEL = 0.95


@dataclass(frozen=True)
class Round:
    """One process: medians in microseconds of its calls, and of the ratios of its pairs; one thread."""

    raw_p50_us: float
    predict_p50_us: float
    ratio: float
    rss_after_load_mb: float
    rss_after_predictions_mb: float


@dataclass(frozen=True)
class Cost:
    """One artefact: medians over the rounds.

    Attributes:
        ratio_interval: see `median_interval`.
    """

    artefact: str
    raw_p50_us: float
    predict_p50_us: float
    ratio: float
    ratio_interval: tuple[float, float]
    rounds: tuple[Round, ...]


def measure(bundle: Path, artefact: Artefact, n: int, rounds: int) -> Cost:
    """The cost of `predict` on one artefact, from `n` pairs in each of the rounds."""
    words = [sys.executable, __file__, str(bundle), "--n", str(n), "--one-round", artefact.target, artefact.precision]
    done = [
        # The one that is opened first has its memory to itself; they take turns in that.
        Round(
            **json.loads(
                subprocess.run([*words, ("raw", "predict")[number % 2]], check=True, capture_output=True).stdout
            )
        )
        for number in range(rounds)
    ]
    ratios = [each.ratio for each in done]
    return Cost(
        artefact.title,
        round(statistics.median(each.raw_p50_us for each in done), 2),
        round(statistics.median(each.predict_p50_us for each in done), 2),
        round(statistics.median(ratios), 4),
        median_interval(ratios),
        tuple(done),
    )


def measure_round(bundle: Path, target: str, precision: str, first: str, n: int) -> Round:
    """One round in this process; `first` is which of `raw` and `predict` is opened first."""
    manifest = read_manifest(bundle)
    images = read_golden(bundle, manifest).images
    (artefact,) = (each for each in manifest.artefacts if (each.target, each.precision) == (target, precision))
    file = bundle / artefact.files[0].path
    raw = RAW_CALLS[target](file, images[0]) if first == "raw" else None
    with load(bundle, target, precision) as model:
        rss_after_load_mb = rss_mb()
        raw = raw or RAW_CALLS[target](file, images[0])
        _take_turns(raw, model, images, WARM_UP)
        pairs = _take_turns(raw, model, images, n)
        rss_after_predictions_mb = rss_mb()
    raw_s, predict_s = np.median(pairs, axis=0)
    return Round(
        round(raw_s * 1e6, 2),
        round(predict_s * 1e6, 2),
        round(float(np.median(pairs[:, 1] / pairs[:, 0])), 4),
        rss_after_load_mb,
        rss_after_predictions_mb,
    )


def _take_turns(raw: Callable[[], object], model: Model, images: np.ndarray, n: int) -> np.ndarray:
    """The seconds (n, 2) of a raw call and of `predict`."""
    clock = time.perf_counter
    picked = [images[index] for index in np.random.default_rng().integers(len(images), size=n)]
    raw_first = [random.random() < 0.5 for _ in picked]
    raw_s, predict_s = [], []
    for image, first in zip(picked, raw_first, strict=True):
        if first:
            started = clock()
            raw()
            raw_s.append(clock() - started)
        started = clock()
        answer = model.predict(image)
        predict_s.append(clock() - started)
        assert answer.label
        del answer
        if not first:
            started = clock()
            raw()
            raw_s.append(clock() - started)
    return np.column_stack([raw_s, predict_s])


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Two of the values, between which the median that they were drawn around lies with LEVEL; of few the extremes.

    The order statistics by the binomial distribution, without any assumption on the values: David and Nagaraja, Order
    Statistics, 2003, section 7.1.

    >>> median_interval([5, 1, 4, 2, 3, 6, 10, 9, 8, 7])
    (2, 9)
    """
    ordered, count = sorted(values), len(values)
    below = 0.0
    for rank in range(count // 2):
        below += math.comb(count, rank) / 2**count
        if 2 * below > 1 - LEVEL:
            rank = max(rank - 1, 0)
            return ordered[rank], ordered[-1 - rank]
    return ordered[0], ordered[-1]


def import_ms(repeats: int) -> tuple[float, float]:
    """Median milliseconds that a fresh Python takes with numpy alone, and how many more with the runtime imported too.

    The two take turns; the second number is the median of the pairs' differences.
    """
    codes = "import numpy", "import numpy, hkd_edge_runtime as h; h.load"
    pairs = [tuple(_start_ms(code) for code in codes) for _ in range(repeats)]
    numpy_ms = statistics.median(alone for alone, _ in pairs)
    return round(numpy_ms, 1), round(statistics.median(both - alone for alone, both in pairs), 1)


def _start_ms(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - started) * 1e3


def rss_mb() -> float:
    """The process's resident memory in megabytes (10^6 bytes), from Linux's /proc."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    import resource

    return round(pages * resource.getpagesize() / 1e6, 1)


def versions() -> dict[str, str]:
    """Python and what is installed of numpy and the runtimes."""
    found = {"python": platform.python_version()}
    for name in ("numpy", *RAW_CALLS):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="What the wrapper costs over a direct call of the runtime.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--n", type=int, default=1000, help="calls of each per round (default 1000)")
    parser.add_argument("--rounds", type=int, default=10, help="fresh processes per artefact (default 10)")
    parser.add_argument("--imports", type=int, default=15, help="fresh interpreters of each kind (default 15)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one-round", nargs=3, help=argparse.SUPPRESS)  # what `measure` starts
    options = parser.parse_args()
    if options.one_round:
        print(json.dumps(asdict(measure_round(options.bundle, *options.one_round, options.n))))
        return
    manifest = read_manifest(options.bundle)
    costs = []
    for artefact in manifest.artefacts:
        if artefact.target in RAW_CALLS and is_usable(artefact):
            costs.append(measure(options.bundle, artefact, options.n, options.rounds))
        else:
            warnings.warn(f"{artefact.title}: left out, it does not run here or has no raw call", stacklevel=1)
    numpy_ms, over_numpy_ms = import_ms(options.imports)
    report = {
        "machine": dict(read_board().facts),
        "versions": versions(),
        "n": options.n,
        "rounds": options.rounds,
        "threads": 1,
        "python_with_numpy_ms": numpy_ms,
        "import_over_numpy_ms": over_numpy_ms,
        "imports": options.imports,
        "costs": [asdict(cost) for cost in costs],
    }
    print(json.dumps(report, indent=2) if options.json else _text(report, costs))


def _text(report: dict[str, object], costs: list[Cost]) -> str:
    lines = [
        f"machine {report['machine']}, versions {report['versions']}",
        f"{report['rounds']} processes with {report['n']} pairs of calls for each artefact, 1 thread, batch 1",
        f"import  {report['import_over_numpy_ms']} ms over the {report['python_with_numpy_ms']} ms with numpy alone "
        f"(medians of {report['imports']} pairs)",
    ]
    for each in costs:
        low, high = each.ratio_interval
        last = each.rounds[-1]
        lines.append(
            f"{each.artefact:20} raw {each.raw_p50_us:7.1f} us  predict {each.predict_p50_us:7.1f} us  ratio "
            f"{each.ratio:.4f} ({low:.4f} to {high:.4f})  RSS {last.rss_after_load_mb} MB after load, "
            f"{last.rss_after_predictions_mb} MB at the end"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
