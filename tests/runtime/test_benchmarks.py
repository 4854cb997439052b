"""The scripts in benchmarks/: they run, and memory is flat. What they measure is not judged on a shared machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Python with the search path of this one and the benchmarks."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={"PYTHONPATH": ":".join([str(BENCHMARKS), *(path for path in sys.path if path)])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wrapper_is_measured_against_every_runtime(bundle_maker: Callable[..., Path]) -> None:
    folder = bundle_maker({"target": "onnxruntime"}, {"target": "openvino"})
    done = python(BENCHMARKS / "wrapper.py", folder, "--n", "20", "--rounds", "2", "--imports", "1", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [len(each["rounds"]) for each in report["costs"]] == [2, 2]
    assert all(each["ratio_interval"][0] <= each["ratio"] <= each["ratio_interval"][1] for each in report["costs"])
    assert [each["artefact"] for each in report["costs"]] == ["onnxruntime fp32", "openvino fp32"]
    assert all(each["predict_p50_us"] > 0 and each["raw_p50_us"] > 0 for each in report["costs"])
    assert "ratio" in python(BENCHMARKS / "wrapper.py", folder, "--n", "20", "--rounds", "1", "--imports", "1").stdout


def test_the_interval_of_a_median_is_that_of_the_tables() -> None:
    # Ranks of the 95 % interval, as tables of the sign test have them: none for 5, 1 for 6, 2 for 10, 6 for 20.
    code = "from wrapper import median_interval; print([median_interval(range(1, n + 1)) for n in (1, 5, 6, 10, 20)])"
    done = python("-c", code)
    assert done.stdout.strip() == "[(1, 1), (1, 5), (1, 6), (2, 9), (6, 15)]", done.stderr


@pytest.mark.slow
def test_our_timings_agree_with_those_of_others(bundle_maker: Callable[..., Path], rgb_toy: Any) -> None:
    # Large enough that what each program does around a call is little beside the call.
    weights = np.random.default_rng(7).normal(0, 0.001, (160 * 160 * 3, 4)).astype(np.float32)
    toy = replace(rgb_toy, spec=replace(rgb_toy.spec, height=160, width=160), weights=weights)
    folder = bundle_maker({"target": "onnxruntime"}, {"target": "openvino"}, toy=toy)
    options = ["--rounds", "3", "--seconds", "0.3", "--tolerance", "0.25", "--json"]
    done = python(BENCHMARKS / "independent.py", folder, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)["rows"]
    whose = [(row["artefact"], row["theirs"]) for row in rows if row["agreement"] is not None]
    openvino = [("openvino fp32", "plain loop"), ("openvino fp32", "benchmark_app")]
    assert whose == [("onnxruntime fp32", "plain loop"), *openvino]


@pytest.mark.slow
def test_timings_that_do_not_agree_are_told_by_the_exit_code(bundle_maker: Callable[..., Path]) -> None:
    options = ["--rounds", "1", "--seconds", "0.05", "--tolerance", "0.0001"]
    done = python(BENCHMARKS / "independent.py", bundle_maker({"target": "onnxruntime"}), *options)
    assert done.returncode == 1, done.stderr
    assert "| onnxruntime fp32 | plain loop |" in done.stdout


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_memory_is_flat_over_twenty_thousand_predictions(bundle_maker: Callable[..., Path], target: str) -> None:
    done = python(BENCHMARKS / "endurance.py", bundle_maker({"target": target}), "--n", "20000", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert len(report["rss_mb"]) == 20
    assert report["growth_mb"] <= 1


def test_growing_memory_is_found() -> None:
    code = "from endurance import growth_mb; print(growth_mb([50.0] * 5 + [50.0 + step for step in range(15)]))"
    assert float(python("-c", code).stdout) == 14
