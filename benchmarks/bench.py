"""Every benchmark in one command: training steps, the pipeline by stage, export and quantization, the wrapper.

    python benchmarks/bench.py [--run RUN] [--full] [--cached-torchdistill FOLDER] [--out FILE.json]

RUN is a run directory whose bundle and stages are read; without it scikit-learn's digits are run first, which takes
about half a minute. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hkd_edge.distill.saved import read_student
from hkd_edge.pipeline import STAGES
from hkd_edge.run.stage import read_stamp
from hkd_edge.stages.distill import STUDENT_FILE
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_export.to_onnx import to_onnx
from hkd_edge_export.to_openvino import to_openvino

HERE = Path(__file__).resolve().parent
CALIBRATION_IMAGES = 300
SHORT = {"training": ("--rounds", "5", "--steps", "3"), "wrapper": ("--rounds", "2", "--n", "300", "--imports", "3")}
FULL = {"training": ("--rounds", "20", "--steps", "10"), "wrapper": ()}


def script(name: str, *words: str) -> Any:
    """What the script `name` beside this one answers as JSON."""
    command = [sys.executable, str(HERE / name), *words, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def stages_s(run: Path) -> dict[str, float]:
    """Seconds that each stage of `run` took when it was last done."""
    stamps = {stage.name: read_stamp(run, stage.name) for stage in STAGES}
    return {name: stamp.seconds for name, stamp in stamps.items() if stamp is not None}


def export_s(run: Path, repeats: int) -> dict[str, float]:
    """Median seconds of making each kind of file from the student of `run`; random images calibrate int8."""
    student = read_student(run / STUDENT_FILE)
    shape = (CALIBRATION_IMAGES, student.spec.height, student.spec.width, student.spec.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        fp32, int8, xml = (Path(folder) / name for name in ("fp32.onnx", "int8.onnx", "int8.xml"))
        steps: dict[str, Callable[[], object]] = {
            "torch to ONNX": lambda: to_onnx(student.network, student.spec, fp32),
            "ONNX to INT8": lambda: quantize_int8(fp32, int8, images, bias_correction=False),
            "ONNX to OpenVINO": lambda: to_openvino(int8, xml),
        }
        return {
            name: round(statistics.median(_seconds(step) for _ in range(repeats)), 3) for name, step in steps.items()
        }


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def measure(run: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All benchmarks, as JSON."""
    words = FULL if options.full else SHORT
    cached = options.cached_torchdistill
    report: dict[str, Any] = {"stages_s": stages_s(run), "export_s": export_s(run, 5 if options.full else 2)}
    report["wrapper"] = script("wrapper.py", str(run / "bundle"), *words["wrapper"])
    if importlib.util.find_spec("torchdistill") is None:
        warnings.warn('training: left out, it needs torchdistill: pip install "hkd-edge[bench]"', stacklevel=1)
    else:
        extra = ("--cached-torchdistill", str(cached)) if cached else ()
        report["training"] = script("training.py", *words["training"], *extra)
    return report


def text(report: dict[str, Any]) -> str:
    """The report as one table."""
    lines = [f"machine {report['wrapper']['machine']}"]
    lines += [f"{'stage':10} {name:42} {seconds:10.2f} s" for name, seconds in report["stages_s"].items()]
    lines += [f"{'export':10} {name:42} {seconds:10.2f} s" for name, seconds in report["export_s"].items()]
    lines += [
        f"{'wrapper':10} {cost['artefact']:42} {cost['predict_p50_us']:10.1f} us        "
        f"{cost['ratio']:.3f} of a raw call ({cost['ratio_interval'][0]:.3f} to {cost['ratio_interval'][1]:.3f})"
        for cost in report["wrapper"]["costs"]
    ]
    lines += [
        f"{speed['job']:10} {speed['contender']:42} {speed['images_per_s']:10.0f} images/s  ours is "
        f"{speed['ours_by_its']:.2f} times as fast ({speed['interval'][0]:.2f} to {speed['interval'][1]:.2f})"
        for speed in report.get("training", {"speeds": []})["speeds"]
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures, writes and prints."""
    parser = argparse.ArgumentParser(description="Every benchmark in one command.")
    parser.add_argument("--run", type=Path, help="a finished run directory (default: digits are run)")
    parser.add_argument("--full", action="store_true", help="more rounds: about a quarter of an hour")
    parser.add_argument("--cached-torchdistill", type=Path, metavar="FOLDER", help="see benchmarks/training.py")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="where the JSON goes (default bench.json)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.run
        if run is None:
            run = Path(folder) / "digits"
            recipe = HERE.parent / "recipes" / "digits.yaml"
            command = "import sys; from hkd_edge.cli import main; main()"
            subprocess.run([sys.executable, "-c", command, "run", str(recipe), "-o", str(run)], check=True)
        report = measure(run, options)
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(text(report))


if __name__ == "__main__":
    main()
