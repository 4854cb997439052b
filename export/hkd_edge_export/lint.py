"""Checks an ONNX file against the contract that the runtime relies on, and reports every breach at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from hkd_edge_export.errors import ExportError
from hkd_edge_export.spec import OPSET, ExportSpec
from hkd_edge_runtime.backends.base import CONCEPT_PROBABILITIES, INPUT, LOGITS, PROBABILITIES

# A flatten exported through shape arithmetic ran right in fp32, and in INT8 on ONNX Runtime, but in INT8 on
# OpenVINO it fell from 91 % to 47 %, from the same file. Control flow would hide such nodes in subgraphs.
FORBIDDEN = frozenset({"Shape", "Size", "Range", "Gather", "NonZero", "If", "Loop", "Scan"})
BATCHES = (1, 7, 64)
# With the size of its batch an image's probabilities may move by rounding only; in INT8 that can move an
# activation by a whole step.
BATCH_TOLERANCE_FP32 = 1e-4
BATCH_TOLERANCE_INT8 = 0.05
ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


@dataclass(frozen=True)
class Contract:
    """What the rules compare a file with; without a spec the sizes are free, but names and types are not."""

    opset: int = OPSET
    spec: ExportSpec | None = None


Rule = Callable[[onnx.ModelProto, Contract], list[str]]


def is_valid_onnx(model: onnx.ModelProto, contract: Contract) -> list[str]:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return [f"expected a valid ONNX graph, but the checker says: {error}"]
    return []


def has_the_opset(model: onnx.ModelProto, contract: Contract) -> list[str]:
    # torch's exporter only logs it when it cannot give the opset that was asked for, and gives another.
    arrived = {entry.domain: entry.version for entry in model.opset_import}
    if arrived == {"": contract.opset}:
        return []
    return [f"expected opset {contract.opset} and no other operator set, got {arrived}"]


def has_only_portable_nodes(model: onnx.ModelProto, contract: Contract) -> list[str]:
    return [
        f"node {node.name!r}: {node.domain or 'ONNX'} operator {node.op_type} runs differently on other runtimes; "
        "write the network with fixed sizes (global average pooling as x.mean((2, 3)))"
        for node in model.graph.node
        if node.op_type in FORBIDDEN or node.domain not in ("", "ai.onnx")
    ]


def has_folded_batch_norms(model: onnx.ModelProto, contract: Contract) -> list[str]:
    made_by_conv = {node.output[0] for node in model.graph.node if node.op_type == "Conv"}
    return [
        f"node {node.name!r}: expected the batch norm folded into its convolution"
        for node in model.graph.node
        if node.op_type == "BatchNormalization" and node.input[0] in made_by_conv
    ]


def takes_uint8_images(model: onnx.ModelProto, contract: Contract) -> list[str]:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if [value.name for value in inputs] != [INPUT]:
        return [f"expected one input {INPUT!r}, got {[value.name for value in inputs]}"]
    spec = contract.spec
    sizes = (spec.height, spec.width, spec.channels) if spec else (None, None, None)
    findings = _differences(inputs[0], TensorProto.UINT8, sizes)
    readers = {node.op_type for node in model.graph.node if INPUT in node.input}
    if readers != {"Cast"}:
        findings.append(f"expected Cast to read the input, as TensorRT requires, got {sorted(readers)}")
    return findings


def gives_the_answers(model: onnx.ModelProto, contract: Contract) -> list[str]:
    arrived = [value.name for value in model.graph.output]
    expected = _expected_outputs(arrived, contract.spec)
    if arrived != list(expected):
        return [f"expected the outputs {list(expected)}, got {arrived}"]
    return [
        finding
        for value in model.graph.output
        for finding in _differences(value, TensorProto.FLOAT, (expected[value.name],))
    ]


def runs_at_every_batch(model: onnx.ModelProto, contract: Contract) -> list[str]:
    image_shape = _image_shape(model)
    if image_shape is None:
        return [f"not run: the input {INPUT!r} has no fixed height, width and channels"]
    images = np.random.default_rng(0).integers(0, 256, (max(BATCHES), *image_shape), np.uint8)
    try:
        session = _session(model)
        answers = [session.run([PROBABILITIES], {INPUT: images[:size]})[0] for size in BATCHES]
    except (*ORT_ERRORS, ValueError) as error:
        return [f"expected to run on ONNX Runtime at the batch sizes {BATCHES}, but: {error}"]
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    tolerance = BATCH_TOLERANCE_INT8 if quantized else BATCH_TOLERANCE_FP32
    by_size = dict(zip(BATCHES, answers, strict=True))
    findings = {size: _wrong_answers(by_size[size], answers[-1][:size], tolerance) for size in BATCHES}
    return [f"batch {size}: {finding}" for size, finding in findings.items() if finding]


FLOAT_RULES: tuple[Rule, ...] = (
    is_valid_onnx,
    has_the_opset,
    has_only_portable_nodes,
    has_folded_batch_norms,
    takes_uint8_images,
    gives_the_answers,
    runs_at_every_batch,
)


def lint_onnx(
    source: Path | onnx.ModelProto,
    *,
    spec: ExportSpec | None = None,
    opset: int = OPSET,
    rules: tuple[Rule, ...] = FLOAT_RULES,
) -> onnx.ModelProto:
    """The model, when it keeps every rule; a quantized file adds rules of its target (`lint_int8`).

    Raises:
        ExportError: with every finding of every rule, or because the file cannot be read as ONNX.
    """
    model = source if isinstance(source, onnx.ModelProto) else read_onnx(source)
    name = "network" if isinstance(source, onnx.ModelProto) else source.name
    contract = Contract(opset, spec)
    findings = [finding for rule in rules for finding in rule(model, contract)]
    if findings:
        raise ExportError("\n  - ".join([f"{name}: the ONNX file breaks its contract:", *findings]))
    return model


def read_onnx(path: Path) -> onnx.ModelProto:
    """The model in a file.

    Raises:
        ExportError: where there is no such file, or it is no ONNX model.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ExportError(f"{path}: expected an ONNX file, but it cannot be read: {error.strerror}.") from error
    except DecodeError as error:
        raise ExportError(f"{path}: expected an ONNX file, but it cannot be decoded; export it again.") from error
    if not model.graph.node:
        raise ExportError(f"{path}: expected an ONNX model, but it holds no graph; export it again.")
    return model


def _differences(value: onnx.ValueInfoProto, element_type: int, sizes: tuple[int | None, ...]) -> list[str]:
    """How a value differs from (batch, *sizes) of the type, with a symbolic batch; None is any fixed size."""
    findings = []
    arrived_type = value.type.tensor_type.elem_type
    if arrived_type != element_type:
        names = [TensorProto.DataType.Name(number).lower() for number in (element_type, arrived_type)]
        findings.append(f"{value.name}: expected type {names[0]}, got {names[1]}")
    batch, *arrived = _dimensions(value) or [0]
    if isinstance(batch, int):
        findings.append(f"{value.name}: expected a symbolic batch, got a fixed size of {batch}")
    fits = len(arrived) == len(sizes) and all(
        isinstance(got, int) and wanted in (None, got) for got, wanted in zip(arrived, sizes, strict=True)
    )
    if not fits:
        wanted = tuple("any" if size is None else size for size in sizes)
        findings.append(f"{value.name}: expected sizes {wanted} after the batch, got {tuple(arrived)}")
    return findings


def _dimensions(value: onnx.ValueInfoProto) -> list[int | str]:
    dimensions = value.type.tensor_type.shape.dim
    return [one.dim_value if one.HasField("dim_value") else one.dim_param for one in dimensions]


def _expected_outputs(arrived: list[str], spec: ExportSpec | None) -> dict[str, int | None]:
    if spec is not None:
        return dict(spec.outputs)
    names = [LOGITS, PROBABILITIES]
    return dict.fromkeys([*names, CONCEPT_PROBABILITIES] if CONCEPT_PROBABILITIES in arrived else names)


def _image_shape(model: onnx.ModelProto) -> tuple[int, ...] | None:
    sizes = next((_dimensions(value)[1:] for value in model.graph.input if value.name == INPUT), [])
    fixed = tuple(size for size in sizes if isinstance(size, int) and size > 0)
    return fixed if len(fixed) == len(sizes) == 3 else None


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what fails arrives as an exception
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _wrong_answers(answer: npt.NDArray[np.float32], reference: npt.NDArray[np.float32], tolerance: float) -> str | None:
    if answer.shape != reference.shape:
        return f"expected probabilities of shape {reference.shape}, got {answer.shape}"
    if not np.isfinite(answer).all():
        return "expected finite probabilities, got NaN or infinity"
    moved = float(np.abs(answer - reference).max())
    if moved > tolerance:
        return f"an image's probabilities move by {moved:.2g} with the rest of its batch, expected {tolerance}"
    return None
