"""Prints parameters, multiplications and median latency of every student of docs/students.md, as a table.

    .venv/bin/python tests/models/measure_students.py [RUNS [NAME...]]

One thread; batch 1; the wrapper of the board (`hkd_edge_runtime`) from uint8 image to answer; random weights, which
cost what trained ones do; calls of the four files of a student interleaved in one process.
"""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from conftest import Student, documented, drawn, normalised
from torch.utils.flop_counter import FlopCounterMode

from hkd_edge.evaluate.artefacts import Artefact
from hkd_edge.evaluate.timing import time_artefacts
from hkd_edge.models.build import build
from hkd_edge.models.network import Network, count_parameters
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.spec import ExportSpec
from hkd_edge_export.to_onnx import to_onnx
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_runtime.hierarchy import Hierarchy

RUNS = 300
IMAGES = 20  # of a batch to normalise by, to calibrate with, and to measure on
_PACKAGES = ("torch", "torchvision", "onnxruntime", "openvino", "nncf")


def main(runs: int, names: list[str]) -> None:
    """Measures the students of those names, or all."""
    torch.set_num_threads(1)
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in _PACKAGES)
    print(f"n = {runs}; {versions}; {platform.machine()}, {_processor()}; median ms")
    print("| student | image | parameters | M MACs | ORT fp32 | ORT INT8 | OpenVINO fp32 | OpenVINO INT8 |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for name, student in documented().items():
        if not names or name in names:
            print(f"| `{name}` | {' | '.join(_row(student, runs))} |", flush=True)


def _row(student: Student, runs: int) -> list[str]:
    network = _untrained(student)
    with tempfile.TemporaryDirectory() as folder:
        times = time_artefacts(
            _files(network, student, Path(folder)), drawn(student.image, IMAGES, seed=1)[0], runs=runs, threads=1
        )
    return [
        " x ".join(map(str, student.image)),
        f"{count_parameters(network):,}",
        f"{_million_macs(network, student):.1f}",
        *(f"{1e3 * statistics.median(each[1]):.2f}" for each in times),
    ]


def _untrained(student: Student) -> Network:
    """A network of random weights whose batch norms have seen images, so that ranges are as they should be."""
    torch.manual_seed(0)
    network = build(student.architecture, student.image[2], 10)
    with torch.no_grad():
        for seed in range(5):
            network(normalised(drawn(student.image, IMAGES, seed)[0]))
    return network.eval()


def _files(network: Network, student: Student, folder: Path) -> list[Artefact]:
    half = (0.5,) * student.image[2]
    spec = ExportSpec(*student.image, half, half, Hierarchy(tuple(f"class {index}" for index in range(10))))
    fp32 = to_onnx(network, spec, folder / "fp32.onnx")
    int8 = quantize_int8(fp32, folder / "int8.onnx", drawn(student.image, IMAGES, seed=0)[0], bias_correction=False)
    onnx = [Artefact("onnxruntime", path.stem, path) for path in (fp32, int8)]
    return onnx + [
        Artefact("openvino", path.stem, to_openvino(path, path.with_suffix(".xml"))) for path in (fp32, int8)
    ]


def _million_macs(network: Network, student: Student) -> float:
    height, width, channels = student.image
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, height, width))
    return counter.get_total_flops() / 2e6  # a multiplication and an addition


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    facts = dict(line.replace("\t", "").partition(": ")[::2] for line in lines)
    integer = [flag for flag in ("avx2", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp") if flag in str(facts)]
    return f"{facts.get('model name', 'unknown processor')} ({', '.join(integer)})"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS, sys.argv[2:])
