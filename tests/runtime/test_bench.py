"""Bundles of toys measured for real; only how long is cut short."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hkd_edge_runtime import bench as bench_module
from hkd_edge_runtime.__main__ import main
from hkd_edge_runtime.bench import Report, Settings, bench
from hkd_edge_runtime.bench_text import NOT_SHOWN, bench_lines
from hkd_edge_runtime.cold import ColdStart, start_here
from hkd_edge_runtime.conditions import read_conditions
from hkd_edge_runtime.errors import BundleError, InputError, MissingBackendError
from hkd_edge_runtime.manifest import file_entry, read_manifest, write_manifest
from hkd_edge_runtime.raw import RAW_CALLS, RawCall
from hkd_edge_runtime.session import Model
from hkd_edge_runtime.turns import Pace
from tests.runtime.boards import orin_nano, pi_5

QUICK = Settings(batches=(3,), pace=Pace(repeats=4), starts=1)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cold starts in this process, which alone knows the fake backend."""

    def start(bundle: Path, artefact: Any, *, threads: int, starts: int) -> ColdStart:
        return start_here(bundle, artefact.target, artefact.precision, threads)

    monkeypatch.setattr(bench_module, "measure_cold_start", start)


@pytest.fixture
def labelled_folder(toy: Any, tmp_path: Path) -> Path:
    """Six images in the folders of the classes that the toy finds in them, but the last, which is in a wrong one."""
    images = toy.images(6)
    classes = toy.outputs(images).probabilities.argmax(axis=1)
    classes[-1] = (classes[-1] + 1) % 4
    for index, (image, label) in enumerate(zip(images, classes, strict=True)):
        folder = tmp_path / "labelled" / toy.hierarchy.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{index}.png")
    return tmp_path / "labelled"


def test_every_artefact_that_works_here_has_a_row(bundle_maker: Callable[..., Path]) -> None:
    bundle = bundle_maker(
        {"target": "onnxruntime"},
        {"target": "openvino", "shipped": False, "reason": "slower"},
        {"target": "tensorrt"},
    )
    told: list[str] = []
    report = bench(bundle, QUICK, told.append)
    assert [(row.target, row.shipped) for row in report.rows] == [("onnxruntime", True), ("openvino", False)]
    for row in report.rows:
        assert (row.latency.batch, row.latency.runs) == (1, 4)
        assert [(timing.batch, timing.runs) for timing in row.throughput] == [(3, 4)]
        assert 0 < row.latency.p50_ms <= row.latency.p99_ms
        assert row.raw is not None
        assert (row.raw.batch, row.raw.runs) == (1, 4)
        assert row.predict_over_raw == pytest.approx(row.latency.p50_ms / row.raw.p50_ms, abs=1e-4)
        assert row.runtime[0].isdigit()
        assert row.accuracy is None
    (skipped,) = report.skipped
    assert (skipped.target, bool(skipped.reason)) == ("tensorrt", True)
    assert any("cold start" in line for line in told)


def test_predict_and_its_raw_call_take_turns(
    bundle_maker: Callable[..., Path], packed: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    load, make_raw = bench_module.load, RAW_CALLS["onnxruntime"]

    def spied_load(*arguments: Any, **options: Any) -> Model:
        model = load(*arguments, **options)
        predict, title = model.predict, f"predict {model.artefact.target}"
        monkeypatch.setattr(model, "predict", lambda image: order.append(title) or predict(image))
        return model

    def spied_raw(path: Path, image: Any, threads: int) -> RawCall:
        raw = make_raw(path, image, threads)
        return lambda: order.append(f"raw {threads}") or raw()

    monkeypatch.setattr(bench_module, "load", spied_load)
    monkeypatch.setitem(RAW_CALLS, "onnxruntime", spied_raw)
    path = packed(bundle_maker({"target": "onnxruntime"}, {"target": "openvino"}))
    bench(path, replace(QUICK, threads=2, batches=()))
    assert list(dict.fromkeys(order)) == ["predict onnxruntime", "raw 2", "predict openvino"]


@pytest.mark.usefixtures("in_process")
def test_without_a_raw_call_the_row_says_so(bundle: Path, report: Report) -> None:
    assert [(row.raw, row.predict_over_raw) for row in report.rows] == [(None, None)]
    (line,) = [line for line in bench_lines(report.to_dict()) if line.startswith("fake 1.0")]
    assert line.split()[8:10] == ["-", "-"]


def test_no_raw_leaves_the_raw_runtime_out(bundle_maker: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RAW_CALLS, "onnxruntime", lambda *arguments: pytest.fail("a raw call was made"))
    (row,) = bench(bundle_maker({"target": "onnxruntime"}), replace(QUICK, raw=False)).rows
    assert row.raw is None


@pytest.mark.usefixtures("in_process")
def test_target_and_precision_choose_the_rows(bundle_maker: Callable[..., Path]) -> None:
    bundle = bundle_maker({}, {"precision": "int8"})
    report = bench(bundle, replace(QUICK, precision="int8"))
    assert [(row.target, row.precision) for row in report.rows] == [("fake", "int8")]


@pytest.mark.usefixtures("in_process")
def test_an_artefact_that_answers_wrongly_here_is_left_out_with_its_reason(
    bundle_maker: Callable[..., Path], toy: Any
) -> None:
    other = replace(toy, weights=-toy.weights)
    report = bench(bundle_maker({}, {"precision": "int8", "toy": other}), QUICK)
    assert [row.precision for row in report.rows] == ["fp32"]
    assert "expected the golden probabilities" in report.skipped[0].reason


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("artefact", "settings", "error", "message"),
    [
        ({}, replace(QUICK, target="fack"), BundleError, "Did you mean 'fake'?"),
        ({}, replace(QUICK, images=Path("nowhere")), InputError, "expected a folder"),
        ({"target": "tensorrt"}, QUICK, MissingBackendError, "TensorRT"),
    ],
)
def test_what_cannot_be_measured_is_an_error(
    bundle_maker: Callable[..., Path], artefact: dict[str, Any], settings: Settings, error: Any, message: str
) -> None:
    with pytest.raises(error) as refused:
        bench(bundle_maker(artefact), settings)
    assert message in str(refused.value)


@pytest.mark.usefixtures("in_process")
def test_a_bundle_of_which_nothing_answers_rightly_is_an_error(bundle_maker: Callable[..., Path]) -> None:
    with pytest.raises(BundleError, match="expected the golden probabilities"):
        bench(bundle_maker(golden_shift=0.5), QUICK)


@pytest.mark.usefixtures("in_process")
def test_a_damaged_bundle_is_refused(bundle: Path) -> None:
    (bundle / "golden.npz").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"golden\.npz"):
        bench(bundle, QUICK)


@pytest.mark.usefixtures("in_process")
def test_accuracy_is_that_of_the_labelled_folder(bundle: Path, labelled_folder: Path) -> None:
    report = bench(bundle, replace(QUICK, images=labelled_folder))
    assert report.accuracy_by == "images"
    (row,) = report.rows
    assert row.accuracy is not None
    assert (row.accuracy.images, row.accuracy.top1) == (6, pytest.approx(100 * 5 / 6, abs=1e-3))


@pytest.mark.usefixtures("in_process")
def test_accuracy_is_that_of_the_evaluation_subset_without_a_folder(bundle: Path, toy: Any) -> None:
    images = toy.images(6)
    labels = toy.outputs(images).probabilities.argmax(axis=1).astype(np.int64)
    np.savez(bundle / "evaluation.npz", images=images, labels=labels)
    write_manifest(bundle, replace(read_manifest(bundle), evaluation=file_entry(bundle, "evaluation.npz")))
    report = bench(bundle, QUICK)
    assert report.accuracy_by == "evaluation"
    assert report.rows[0].accuracy == bench_module.Judged(6, 100.0)


@pytest.fixture
def report(bundle: Path, in_process: None) -> Report:
    return bench(bundle, QUICK)


def test_the_json_is_plain_and_versioned(report: Report) -> None:
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (told["format"], told["format_version"]) == ("hkd-edge-bench", 1)
    assert told["settings"]["images"] is None
    assert told["settings"]["pace"] == {"seconds": 2.0, "repeats": 4}
    percentiles = {"min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms"}
    assert set(told["rows"][0]["latency"]) == {"batch", "images_per_s", "runs", *percentiles}
    assert len(told["sha256"]) == 64


def test_the_table_tells_the_figures_and_what_is_not_shown(report: Report, tmp_path: Path) -> None:
    nothing = read_conditions(tmp_path, lambda command: None)
    text = "\n".join(bench_lines(json.loads(json.dumps(replace(report, before=nothing, after=nothing).to_dict()))))
    assert f"{report.rows[0].latency.p50_ms:.3f}" in text
    for fact in ("temperature", "clocks", "throttling"):
        assert f"{fact:<12} {NOT_SHOWN}" in text
    assert "images/s at 3" in text
    assert "raw p50 ms" in text
    assert "Raw: the runtime's" not in text  # the fake runtime has no raw call


def test_the_table_tells_what_changed_during_the_run(report: Report, tmp_path: Path) -> None:
    before = read_conditions(orin_nano(tmp_path / "before"), lambda command: "NV Power Mode: 15W\n0")
    after = read_conditions(orin_nano(tmp_path / "after", alert=1, over_currents=6), lambda command: None)
    text = "\n".join(bench_lines(replace(report, before=before, after=after, warnings=("Cool it.",)).to_dict()))
    assert "over-current oc3 5 -> cpu-throttle-alert 1, over-current oc3 6" in text
    assert "policy4 schedutil 730 of 1728 MHz" in text
    assert f"15W -> {NOT_SHOWN}" in text
    assert "warning: Cool it." in text


def test_a_board_that_is_not_throttled_says_so(report: Report, tmp_path: Path) -> None:
    told = read_conditions(pi_5(tmp_path), lambda command: None)
    assert "throttling   none" in bench_lines(replace(report, before=told, after=told).to_dict())


@pytest.mark.usefixtures("in_process")
def test_the_command_prints_a_table_or_json(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--repeats", "2", "--batch", "2", "4"]
    assert main(["bench", str(bundle), *quick]) == 0
    out, err = capsys.readouterr()
    assert "fake 1.0" in out
    assert "images/s at 4" in out
    assert "throughput of 2 images at a time" in err
    assert main(["bench", str(bundle), *quick, "--json", "--target", "fake"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [timing["batch"] for timing in told["rows"][0]["throughput"]] == [2, 4]


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--seconds", "inf"], ["--seconds", "1", "--repeats", "2"]])
def test_wrong_paces_are_usage_errors(bundle: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["bench", str(bundle), *arguments])
    assert left.value.code == 2
    assert "--seconds" in capsys.readouterr().err
