"""What the wrapper costs: `predict` against the fastest direct call of each runtime, import time, memory.

    python benchmarks/wrapper.py BUNDLE [--n 2000] [--rounds 5] [--imports 15] [--json]

Raw call and `predict` take turns in one process, in an order drawn anew for each pair; `predict` gets another image
each time, and its answer's label is read outside the clock. The ratio is that of the medians, per round and over all.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import random
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
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


@dataclass(frozen=True)
class Cost:
    """One artefact: medians in microseconds over `n` calls of each in each of the rounds, one thread."""

    artefact: str
    raw_p50_us: float
    predict_p50_us: float
    ratio: float
    ratio_of_rounds: tuple[float, ...]
    rss_after_load_mb: float
    rss_after_predictions_mb: float


def measure(bundle: Path, artefact: Artefact, n: int, rounds: int) -> Cost:
    """The cost of `predict` on one artefact."""
    images = read_golden(bundle, read_manifest(bundle)).images
    raw = RAW_CALLS[artefact.target](bundle / artefact.files[0].path, images[0])
    with load(bundle, artefact.target, artefact.precision) as model:
        rss_after_load_mb = rss_mb()
        for index in range(WARM_UP):
            raw()
            model.predict(images[index % len(images)])
        seconds = np.empty((rounds, n, 2))
        for one_round in seconds:
            _take_turns(raw, model, images, one_round)
        rss_after_predictions_mb = rss_mb()
    by_round = np.median(seconds, axis=1)
    raw_s, predict_s = np.median(seconds.reshape(-1, 2), axis=0)
    return Cost(
        artefact.title,
        round(raw_s * 1e6, 2),
        round(predict_s * 1e6, 2),
        round(predict_s / raw_s, 4),
        tuple(round(float(ratio), 4) for ratio in by_round[:, 1] / by_round[:, 0]),
        rss_after_load_mb,
        rss_after_predictions_mb,
    )


def _take_turns(raw: Callable[[], object], model: Model, images: np.ndarray, seconds: np.ndarray) -> None:
    """Fills `seconds` (n, 2) with the times of a raw call and of `predict`."""
    clock = time.perf_counter
    picked = [images[index] for index in np.random.default_rng().integers(len(images), size=len(seconds))]
    raw_first = [random.random() < 0.5 for _ in seconds]
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
    seconds[:, 0], seconds[:, 1] = raw_s, predict_s


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
    parser.add_argument("--n", type=int, default=2000, help="calls of each per round (default 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--imports", type=int, default=15, help="fresh interpreters of each kind (default 15)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
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
        f"{report['rounds']} rounds of {report['n']} calls, 1 thread, batch 1",
        f"import  {report['import_over_numpy_ms']} ms over the {report['python_with_numpy_ms']} ms with numpy alone "
        f"(medians of {report['imports']} pairs)",
    ]
    for each in costs:
        lines.append(
            f"{each.artefact:20} raw {each.raw_p50_us:7.1f} us  predict {each.predict_p50_us:7.1f} us  ratio "
            f"{each.ratio:.4f} (rounds {min(each.ratio_of_rounds):.4f} to {max(each.ratio_of_rounds):.4f})  RSS "
            f"{each.rss_after_load_mb} MB after load, {each.rss_after_predictions_mb} MB at the end"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
