"""Whether memory stays flat: resident memory while one model answers the same images again and again.

    python benchmarks/endurance.py BUNDLE [--n 1000000] [--target auto] [--json]

The memory is read at 20 equal steps; after the first quarter, in which allocators settle, it may grow by 1 MB at most.
Exits with 1 if it grows by more.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from wrapper import rss_mb, versions

from hkd_edge_runtime import load
from hkd_edge_runtime.golden import read_golden

STEPS = 20
SETTLED = STEPS // 4
ALLOWED_MB = 1.0


def rss_while_predicting(bundle: Path, n: int, target: str = "auto") -> list[float]:
    """Resident megabytes after each of `STEPS` equal parts of `n` predictions."""
    with load(bundle, target) as model:
        images = read_golden(bundle, model.manifest).images
        seen = []
        for _ in range(STEPS):
            for index in range(n // STEPS):
                answer = model.predict(images[index % len(images)])
                assert answer.concepts is not None
            seen.append(rss_mb())
    return seen


def growth_mb(seen: list[float]) -> float:
    """By how much the memory grew after it had settled: the largest of the last quarter over the first settled one."""
    return round(max(seen[-SETTLED:]) - seen[SETTLED], 2)


def main() -> int:
    """Measures and prints; the exit code tells whether memory stayed flat."""
    parser = argparse.ArgumentParser(description="Whether memory stays flat over many predictions.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--n", type=int, default=1_000_000, help="predictions (default a million)")
    parser.add_argument("--target", default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.perf_counter()
    seen = rss_while_predicting(options.bundle, options.n, options.target)
    seconds = round(time.perf_counter() - started, 1)
    growth = growth_mb(seen)
    report = {"n": options.n, "target": options.target, "seconds": seconds, "growth_mb": growth, "rss_mb": seen}
    if options.json:
        print(json.dumps(report | {"versions": versions()}, indent=2))
    else:
        print(
            f"{options.n} predictions in {seconds} s: RSS {seen[0]} MB at first, {seen[-1]} MB at last; grew {growth}"
        )
    return int(growth > ALLOWED_MB)


if __name__ == "__main__":
    sys.exit(main())
