"""The adapter on the installed TensorRT (TensorRT-RTX needs no GPU for it), and its errors on a stand-in."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hkd_edge_export import to_tensorrt
from hkd_edge_export.errors import ExportError
from hkd_edge_export.half import to_half
from hkd_edge_export.signed import to_signed
from hkd_edge_export.to_tensorrt import (
    BatchProfile,
    build_engine,
    find_tensorrt,
    missing_reason,
    parse_onnx,
    trtexec_command,
)
from hkd_edge_runtime.files import sha256_file
from hkd_edge_runtime.tensorrt import installed
from hkd_edge_runtime.tensorrt.build import TYPE_WARNING
from hkd_edge_runtime.tensorrt.installed import MODULES, Gpu

PRECISIONS = ["fp32", "fp16", "int8"]
UNSIGNED_WARNING = "onnxOpImporters.cpp:1980: UINT8 zero_point. Defaulting to INT8 instead."


@pytest.fixture(scope="module")
def files(exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What TensorRT is to read, by precision."""
    folder = tmp_path_factory.mktemp("tensorrt")
    return {
        "fp32": exported.fp32,
        "fp16": to_half(exported.fp32, folder / "fp16.onnx"),
        "int8": to_signed(exported.int8, folder / "int8.onnx"),
    }


@pytest.fixture
def tensorrt() -> ModuleType:
    """The installed TensorRT."""
    reason = missing_reason()
    if reason is not None:
        pytest.skip(reason)
    module = find_tensorrt()
    assert module is not None
    return module


@pytest.fixture
def rtx(tensorrt: ModuleType) -> ModuleType:
    if installed.flavour(tensorrt) != installed.TENSORRT_RTX:
        pytest.skip("TensorRT is installed here, which is taken before TensorRT-RTX")
    return tensorrt


def _keep(path: Path) -> Path:
    path.write_bytes(b"the last good file")
    return path


def _kept(path: Path) -> bool:
    return path.read_bytes() == b"the last good file" and [path] == [
        each for each in path.parent.iterdir() if path.stem in each.name
    ]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_parser_takes_each_precision_without_a_warning(tensorrt, files, precision: str) -> None:
    report = parse_onnx(files[precision])
    assert (report.precision, report.warnings) == (precision, ())
    assert report.onnx_sha256 == sha256_file(files[precision])
    assert report.version == tensorrt.__version__
    assert report.layers > 10


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_is_a_plain_file_with_its_record_beside_it(tensorrt, files, precision: str, tmp_path: Path) -> None:
    record = build_engine(files[precision], tmp_path / "net.plan", BatchProfile(1, 8, 32))
    assert record.precision == precision
    assert record.sidecar == tmp_path / "net.plan.json"
    assert record.size_bytes == record.plan.stat().st_size > 1000
    written = json.loads(record.sidecar.read_text())
    assert written["plan"] == "net.plan"
    assert written["plan_sha256"] == sha256_file(record.plan)
    assert written["onnx_sha256"] == sha256_file(files[precision])
    assert written["profile"] == {"min": 1, "opt": 8, "max": 32}
    assert written["version"] == tensorrt.__version__
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net.plan", "net.plan.json"]


def test_an_unsigned_file_is_refused_for_the_parsers_warning(tensorrt, exported, tmp_path: Path) -> None:
    plan = _keep(tmp_path / "net.plan")
    with pytest.raises(ExportError, match=r"int8\.onnx: expected a file that .* (?i:uint8).*the file that to_signed"):
        build_engine(exported.int8, plan)
    assert _kept(plan)


def test_after_a_refusal_the_next_file_starts_with_a_clean_log(tensorrt, exported, files) -> None:
    with pytest.raises(ExportError, match="it warns"):
        parse_onnx(exported.int8)
    assert parse_onnx(files["int8"]).warnings == ()


def test_an_operator_that_tensorrt_lacks_is_named_with_its_node(tensorrt, exported, tmp_path: Path) -> None:
    model, plan = onnx.load(exported.fp32), _keep(tmp_path / "net.plan")
    normalised = next(node for node in model.graph.node if node.op_type == "Add")
    name, position = normalised.output[0], list(model.graph.node).index(normalised) + 1
    normalised.output[0] = "pixels"
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 1, 1, 1]), "sizes"))
    nodes = [
        helper.make_node("Det", ["pixels"], ["determinants"], "det_0"),
        helper.make_node("Reshape", ["determinants", "sizes"], ["addends"], "reshape_0"),
        helper.make_node("Add", ["pixels", "addends"], [name], "add_9"),
    ]
    for node in reversed(nodes):
        model.graph.node.insert(position, node)
    onnx.save(model, tmp_path / "det.onnx")
    with pytest.raises(ExportError, match=r"det\.onnx: expected a network that .* parses, .*node 'det_0' \(Det\)"):
        build_engine(tmp_path / "det.onnx", plan)
    assert _kept(plan)


def test_another_opset_is_refused_though_the_parser_takes_it(tensorrt, exported, tmp_path: Path) -> None:
    model = onnx.load(exported.fp32)
    model.opset_import[0].version = 99
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(ExportError, match="expected opset 20 and no other operator set, got .*99"):
        parse_onnx(tmp_path / "net.onnx")


def test_a_file_that_is_not_onnx_is_refused(tensorrt, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x08not a protobuf")
    with pytest.raises(ExportError, match=r"net\.onnx: expected an ONNX file, but it cannot be decoded"):
        parse_onnx(tmp_path / "net.onnx")


def test_an_engine_is_built_ahead_of_time_for_the_gpus_named(rtx, files, tmp_path: Path) -> None:
    record = build_engine(files["fp32"], tmp_path / "net.plan", compute_capabilities=("8.6", "12.0"))
    assert (record.flavour, record.compute_capabilities, record.gpu) == ("tensorrt-rtx", ("8.6", "12.0"), None)


def test_a_gpu_that_tensorrt_rtx_does_not_build_for_is_refused(rtx, files, tmp_path: Path) -> None:
    message = r"compute_capabilities: expected some of .*8\.6.*, got 8\.7\. For other GPUs build with TensorRT on"
    with pytest.raises(ExportError, match=message):
        build_engine(files["fp32"], tmp_path / "net.plan", compute_capabilities=("8.6", "8.7"))


def test_tensorrt_rtx_leaves_the_timing_cache_alone(rtx, files, tmp_path: Path) -> None:
    cache = _keep(tmp_path / "timing.cache")
    build_engine(files["fp32"], tmp_path / "net.plan", timing_cache=cache)
    assert _kept(cache)


@dataclass
class Behaviour:
    """How the stand-in for TensorRT answers, and what it was asked."""

    errors: tuple[Any, ...] = ()
    parser_messages: tuple[tuple[int, str], ...] = ()
    builder_messages: tuple[tuple[int, str], ...] = ()
    plan: bytes | None = b"plan"
    takes_profile: bool = True
    known_caches: tuple[bytes, ...] = (b"", b"timings")
    parses: bool = True
    seen: dict[str, Any] = field(default_factory=dict)


def stand_in_network() -> Any:
    images = SimpleNamespace(name="images", dtype=SimpleNamespace(name="UINT8"), shape=(-1, 8, 8, 1))
    outputs = ("logits", "probabilities", "concept_probabilities")
    return SimpleNamespace(
        num_layers=12,
        num_inputs=1,
        get_input=lambda index: images,
        num_outputs=3,
        get_output=lambda index: SimpleNamespace(name=outputs[index]),
    )


def stand_in(behaviour: Behaviour) -> ModuleType:
    """TensorRT 10.3 as far as the adapter may use it: no flag for FP16 or INT8, no calibrator."""

    class ILogger:
        WARNING = 2

    class Config:
        def clear_flag(self, flag: str) -> None:
            behaviour.seen["cleared"] = flag

        def add_optimization_profile(self, profile: Any) -> int:
            return 0 if behaviour.takes_profile else -1

        def create_timing_cache(self, data: bytes) -> Any:
            return SimpleNamespace(data=data, serialize=lambda: b"timings")

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            taken = not ignore_mismatch and cache.data in behaviour.known_caches
            if taken:
                behaviour.seen["timing_cache"] = cache.data
            return taken

    class Builder:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def create_network(self, flags: int) -> Any:
            behaviour.seen["flags"] = flags
            return stand_in_network()

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> Any:
            return SimpleNamespace(set_shape=lambda *shapes: behaviour.seen.update(shapes=shapes))

        def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
            for severity, message in behaviour.builder_messages:
                self.logger.log(severity, message)
            return behaviour.plan

    class OnnxParser:
        def __init__(self, network: Any, logger: Any) -> None:
            self.logger, self.num_errors = logger, len(behaviour.errors)

        def parse(self, data: bytes) -> bool:
            for severity, message in behaviour.parser_messages:
                self.logger.log(severity, message)
            return behaviour.parses

        def get_error(self, index: int) -> Any:
            return behaviour.errors[index]

    module = ModuleType("tensorrt")
    flag = SimpleNamespace(STRONGLY_TYPED=1)
    names = {"ILogger": ILogger, "Builder": Builder, "OnnxParser": OnnxParser, "NetworkDefinitionCreationFlag": flag}
    names["BuilderFlag"] = SimpleNamespace(TF32="tf32")
    for name, value in {**names, "__version__": "10.3.0"}.items():
        setattr(module, name, value)
    return module


@pytest.fixture
def behaviour(monkeypatch: pytest.MonkeyPatch) -> Behaviour:
    """The stand-in, installed on a board with an Orin."""
    made = Behaviour()
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in(made))
    for module in (installed, to_tensorrt):
        monkeypatch.setattr(module, "current_gpu", lambda: Gpu("Orin", "8.7"))
    return made


def test_the_network_is_strongly_typed_and_takes_the_batches_of_the_profile(
    behaviour: Behaviour, exported, tmp_path: Path
) -> None:
    build_engine(exported.fp32, tmp_path / "net.plan", BatchProfile(1, 4, 16))
    assert behaviour.seen["flags"] == 1 << 1
    assert behaviour.seen["cleared"] == "tf32"
    assert behaviour.seen["shapes"] == ("images", (1, 8, 8, 1), (4, 8, 8, 1), (16, 8, 8, 1))


def test_tensorrt_builds_for_the_gpu_at_hand(behaviour: Behaviour, exported, tmp_path: Path) -> None:
    record = build_engine(exported.fp32, tmp_path / "net.plan")
    assert (record.flavour, record.gpu, record.compute_capabilities) == ("tensorrt", "Orin", ("8.7",))
    assert record.plan.read_bytes() == b"plan"
    with pytest.raises(ExportError, match=r"expected none, as TensorRT 10\.3\.0 builds .*\(8\.7\), got 8\.6"):
        build_engine(exported.fp32, tmp_path / "net.plan", compute_capabilities=("8.6",))


def test_no_engine_is_an_error_with_the_builders_reasons(behaviour: Behaviour, exported, tmp_path: Path) -> None:
    behaviour.plan = None
    behaviour.builder_messages = ((1, "Could not find any implementation for node conv_0"), (3, "tried 7 tactics"))
    plan = _keep(tmp_path / "net.plan")
    with pytest.raises(ExportError, match=r"expected an engine for 8\.7 from TensorRT 10\.3\.0, got none: Could not"):
        build_engine(exported.fp32, plan)
    assert _kept(plan)


def test_a_profile_that_the_builder_refuses_is_an_error(behaviour: Behaviour, exported, tmp_path: Path) -> None:
    behaviour.takes_profile = False
    with pytest.raises(ExportError, match=r"expected to take the batches of BatchProfile\(min=1, opt=1, max=64\)"):
        build_engine(exported.fp32, tmp_path / "net.plan")


def test_a_warning_of_the_builder_about_types_is_an_error(behaviour: Behaviour, exported, tmp_path: Path) -> None:
    behaviour.builder_messages = ((2, UNSIGNED_WARNING),)
    with pytest.raises(ExportError, match="it warns: .*Defaulting to INT8 instead"):
        build_engine(exported.fp32, tmp_path / "net.plan")
    assert not list(tmp_path.iterdir())


def test_other_warnings_are_recorded(behaviour: Behaviour, exported, tmp_path: Path) -> None:
    behaviour.builder_messages = ((2, "Unable to determine GPU memory usage"),)
    record = build_engine(exported.fp32, tmp_path / "net.plan")
    assert record.warnings == ("Unable to determine GPU memory usage",)
    assert json.loads(record.sidecar.read_text())["warnings"] == ["Unable to determine GPU memory usage"]


def test_all_errors_of_the_parser_are_named(behaviour: Behaviour, exported) -> None:
    behaviour.parses = False
    behaviour.errors = tuple(
        SimpleNamespace(
            node_name=lambda name=f"node_{index}": name,
            node_operator=lambda: "Det",
            code=lambda: 8,
            desc=lambda: "no importer",
        )
        for index in range(12)
    )
    message = r"'node_0' \(Det\): 8: no importer; .*'node_9' \(Det\): 8: no importer; and 2 more"
    with pytest.raises(ExportError, match=message):
        parse_onnx(exported.fp32)


def test_a_parser_that_fails_without_a_word_of_its_own_is_quoted_from_the_log(behaviour: Behaviour, exported) -> None:
    behaviour.parses = False
    behaviour.parser_messages = ((1, "out of memory"),)
    with pytest.raises(ExportError, match="but it says: out of memory"):
        parse_onnx(exported.fp32)


def test_a_timing_cache_is_written_and_read_again(behaviour: Behaviour, exported, tmp_path: Path) -> None:
    cache = tmp_path / "timing.cache"
    build_engine(exported.fp32, tmp_path / "net.plan", timing_cache=cache)
    assert behaviour.seen["timing_cache"] == b""
    assert cache.read_bytes() == b"timings"
    build_engine(exported.fp32, tmp_path / "net.plan", timing_cache=cache)
    assert behaviour.seen["timing_cache"] == b"timings"


def test_a_timing_cache_of_another_version_is_replaced(behaviour: Behaviour, exported, tmp_path: Path) -> None:
    cache = _keep(tmp_path / "timing.cache")
    build_engine(exported.fp32, tmp_path / "net.plan", timing_cache=cache)
    assert behaviour.seen["timing_cache"] == b""
    assert cache.read_bytes() == b"timings"


def test_without_tensorrt_the_error_says_what_remains_to_be_done(
    exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    message = (
        r"TensorRT: expected TensorRT .* found neither\. .* board builds its own at first use, from the same ONNX file"
    )
    for attempt in (lambda: parse_onnx(exported.fp32), lambda: build_engine(exported.fp32, tmp_path / "net.plan")):
        with pytest.raises(ExportError, match=message):
            attempt()
    assert not list(tmp_path.iterdir())


def test_the_command_for_the_board_has_the_shapes_of_the_file(exported) -> None:
    assert trtexec_command(exported.fp32, BatchProfile(1, 1, 16)) == (
        "trtexec --onnx=fp32.onnx --stronglyTyped --noTF32 --minShapes=images:1x8x8x1 --optShapes=images:1x8x8x1 "
        "--maxShapes=images:16x8x8x1 --saveEngine=fp32.plan"
    )


@pytest.mark.parametrize("sizes", [(0, 1, 1), (2, 1, 4), (1, 8, 4)])
def test_a_profile_must_be_ordered(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="profile: expected 1 <= min <= opt <= max"):
        BatchProfile(*sizes)


@pytest.mark.parametrize(
    "warning",
    [
        UNSIGNED_WARNING,
        "For zero_point with type int32 TensorRT will use INT8 instead.",
        "TensorRT supports QuantizeLinear with unsigned integers on DLA only.",
        "Det doesn't support INT64 for inputs, will cast to INT32.",
        "Detected layernorm nodes in FP16: this can overflow.",
        "3 weights are affected by this issue: Detected subnormal FP16 values.",
    ],
)
def test_a_warning_about_types_is_recognised(warning: str) -> None:
    assert TYPE_WARNING.search(warning)


@pytest.mark.parametrize(
    "warning",
    [
        "The logger passed into createInferBuilder differs from one already registered for an existing builder, "
        "runtime, or refitter.",
        "Unable to determine GPU memory usage",
        "CUDA lazy loading is not enabled. Enabling it can significantly reduce device memory usage.",
    ],
)
def test_a_warning_about_something_else_is_not(warning: str) -> None:
    assert not TYPE_WARNING.search(warning)
