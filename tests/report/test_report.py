"""What a person sees of a run: plain lines off a terminal, one table at the end."""

from __future__ import annotations

import io

from rich.console import Console

from hkd_edge.report.progress import Reporter
from hkd_edge.report.summary import markdown_summary
from hkd_edge.train.loop import EpochResult

SURE = {
    "confidence": {"temperature": 0.6707, "accuracy": 99.0, "confidence_level": 95.0, "images": 6000, "axes": {}},
    "decisions": {
        "images": 10_000,
        "class_coverage": 74.17,
        "class_accuracy": 99.326,
        "concept_coverage": 0.0,
        "concept_accuracy": None,
        "unsure": 25.83,
    },
    "calibration_error": 7.277,
    "calibrated_error": 0.989,
}
RESULT = {
    "rows": [
        SURE
        | {
            "target": "openvino",
            "precision": "int8",
            "top1": 93.456,
            "concept_top1": None,
            "agreement": 99.5,
            "p50_ms": 0.1234,
            "p90_ms": 0.2,
            "p99_ms": 0.3,
            "batch_p50_ms": 5.4321,
            "default_precision_agreement": None,
            "runtime": "openvino 2026.4",
            "size_bytes": 123_400,
            "shipped": False,
            "reason": "held back",
        },
        SURE
        | {
            "target": "tensorrt",
            "precision": "fp16",
            "top1": 93.5,
            "concept_top1": 97.0,
            "agreement": 99.99,
            "p50_ms": None,
            "p90_ms": None,
            "p99_ms": None,
            "batch_p50_ms": None,
            "default_precision_agreement": None,
            "runtime": "onnxruntime 1.32 in the place of tensorrt",
            "size_bytes": 193_000,
            "shipped": False,
            "reason": "cannot run here",
        },
    ],
    "student": {"top1": 93.5, "images": 10_000, "validation_top1": 94.0, "validation_images": 6000},
    "cross_agreement": [{"precision": "int8", "targets": ["onnxruntime", "openvino"], "agreement": 99.25}],
    "latency": {"threads": 1, "runs": 300, "throughput_batch": 64, "throughput_runs": 30},
    "machine": {"processor": "a processor", "cores": 2, "runtimes": {"openvino": "2026.4"}},
}


def reporter(*, terminal: bool = False) -> tuple[Reporter, io.StringIO]:
    stream = io.StringIO()
    return Reporter(Console(file=stream, force_terminal=terminal, width=60)), stream


def test_off_a_terminal_each_event_is_one_plain_line() -> None:
    talking, stream = reporter()
    with talking:
        talking.stage_started("teach", "k")
        talking.work("steps", 1, 2)
        talking.training("teach", "concept", "teacher", 100).epoch(EpochResult(0, 0.5, {"kind": 97.531}, 2.0), 3)
        talking.stage_done("teach", 6.0)
        talking.stage_skipped("distill", "k")
    assert stream.getvalue().splitlines() == [
        "teach     teacher epoch 1/3: loss 0.5000, validation kind 97.53 %, 2.0 s, about 4 s left",
        "teach     done in 6.0 s",
        "distill   done already, skipped",
    ]


def test_on_a_terminal_the_work_at_hand_is_a_bar() -> None:
    talking, stream = reporter(terminal=True)
    with talking:
        talking.training("teach", "concept", "teacher", 100).step(3, 10)
    assert "teacher" in stream.getvalue()
    assert "3/10" in stream.getvalue()


def test_the_summary_is_a_table_with_what_the_numbers_mean() -> None:
    text = markdown_summary("name", RESULT)
    assert "| openvino | int8 | 93.46 | - | 99.50 | 0.123 | 0.200 | 0.300 | 5.432 | 123 | no: held back |" in text
    assert "| tensorrt | fp16 | 93.50 | 97.00 | 99.99 | - | - | - | - | 193 | no: cannot run here |" in text
    assert "its answers are those of onnxruntime 1.32 in the place of tensorrt, and it is not timed" in text
    assert "Torch student: 93.50 % of 10,000 test images" in text
    assert "Same int8 answer: onnxruntime and openvino 99.25 %." in text
    assert "one image (300 runs) and 64 images (30 runs, p50), 1 thread(s), artefacts in turn, on a processor" in text


def test_the_summary_says_how_sure_the_answers_are_and_by_which_images() -> None:
    text = markdown_summary("name", RESULT)
    assert "| openvino | int8 | 0.671 | 7.28 | 0.99 | 74.17 | 99.33 | 0.00 | - | 25.83 |" in text
    assert "by 6,000 validation images for 99 % right answers at a level of 95 %" in text
