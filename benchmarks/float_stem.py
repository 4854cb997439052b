"""What INT8 files gain and pay with the first convolution in float: `python benchmarks/float_stem.py RUN`.

RUN is a finished run of `hkd-edge`. Calibrates as the run did, and prints for each CPU runtime the answers over all
test images against those of the fp32 file, and the median time of 1 and of 64 images, one thread, the files in turn.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hkd_edge.data.dataset import Dataset
from hkd_edge.data.load import load_dataset
from hkd_edge.evaluate.artefacts import Artefact, answer, runtime_title
from hkd_edge.evaluate.timing import time_artefacts
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_runtime.evaluation import top1_percent

TARGETS = ("onnxruntime", "openvino")
RUNS = 1000  # timed calls of one image; a tenth as many of 64
BATCH = 64


@dataclass(frozen=True)
class Row:
    """One file: `stem` is the type of its first convolution."""

    stem: str
    artefact: Artefact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    run = parser.parse_args().run
    dataset, fp32 = _dataset(run), run / "artefacts" / "student.onnx"
    calibration = dataset.train.images[_record(run)["calibration_images"]]
    with tempfile.TemporaryDirectory() as folder:
        rows = list(_rows(fp32, calibration, Path(folder)))
        for line in _table(rows, dataset):
            print(line)
    print(
        f"n = {len(dataset.test)} test images, {RUNS} calls of one image, {RUNS // 10} of {BATCH}; "
        f"{platform.machine()}, Python {platform.python_version()}"
    )
    print(", ".join(runtime_title(target) for target in TARGETS))


def _rows(fp32: Path, calibration: np.ndarray, folder: Path) -> Iterator[Row]:
    files = {"fp32": fp32}
    for stem, in_float in (("int8", False), ("float", True)):
        out = folder / f"{stem}.onnx"
        files[stem] = quantize_int8(fp32, out, calibration, bias_correction=False, float_stem=in_float)
    for target in TARGETS:
        for stem, file in files.items():
            path = file if target == "onnxruntime" else to_openvino(file, folder / f"{stem}.xml")
            yield Row(stem, Artefact(target, "fp32" if stem == "fp32" else "int8", path))


def _table(rows: list[Row], dataset: Dataset) -> Iterator[str]:
    test, artefacts = dataset.test, [row.artefact for row in rows]
    logits = [answer(artefact, test.images).logits for artefact in artefacts]
    times = time_artefacts(artefacts, test.images, runs=RUNS, threads=1, batches=(BATCH,))
    yield "| target | file | top-1 % | agrees with fp32 % | logit error, rms | 1 image ms | 64 images ms |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for index, row in enumerate(rows):
        reference = logits[index - index % 3]
        file = "fp32" if row.stem == "fp32" else f"int8, stem in {row.stem}"
        cells = (
            f"{top1_percent(logits[index], test.labels):.2f}",
            f"{top1_percent(logits[index], reference.argmax(axis=1)):.2f}",
            f"{np.sqrt(np.mean((logits[index] - reference) ** 2)):.3f}",
            *(f"{1e3 * float(np.median(times[index][batch])):.3f}" for batch in (1, BATCH)),
        )
        yield f"| {row.artefact.target} | {file} | {' | '.join(cells)} |"


def _dataset(run: Path) -> Dataset:
    facts = json.loads((run / "data" / "data.json").read_text(encoding="utf-8"))
    return load_dataset(facts["name"], None, download=False)


def _record(run: Path) -> dict[str, list[int]]:
    record: dict[str, list[int]] = json.loads((run / "artefacts" / "export.json").read_text(encoding="utf-8"))
    return record


if __name__ == "__main__":
    main()
