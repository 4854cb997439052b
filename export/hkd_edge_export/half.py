"""Halves an exported ONNX file: the network in FP16, the pixels' normalisation and the answers in float32.

Not by the float16 converter of ONNX Runtime or of onnxconverter-common, where that comes from: they round each
value between two nodes that they are told to leave alone, so pixels and probabilities would pass through FP16,
and they append their casts to the end of the node list, where the ONNX checker refuses them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hkd_edge_export.canonical import rename_nodes, save, strip
from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx
from hkd_edge_export.lint_int8 import lint_fp32
from hkd_edge_export.quantize import nodes_around_the_network
from hkd_edge_export.spec import OPSET

LARGEST_HALF = float(np.finfo(np.float16).max)


def to_half(fp32_onnx: Path, out: Path) -> Path:
    """Writes the FP16 file and returns its path; the names and types of input and outputs stay as they were.

    Raises:
        ExportError: for a file that breaks the contract or is quantized, a weight beyond FP16, or a network that
            is no valid ONNX in FP16. An existing `out` then stays as it was.
    """
    model = lint_fp32(fp32_onnx)
    _halve(model)
    strip(model)
    rename_nodes(model)
    lint_onnx(model)
    return save(model, out)


def _halve(model: onnx.ModelProto) -> None:
    """Lets the network's nodes compute in FP16, with a cast wherever a value crosses its border."""
    graph = model.graph
    around = set(nodes_around_the_network(graph))
    floats = _float_values(model)
    outside = {name for node in graph.node if node.name in around for name in node.input}
    outside.update(value.name for value in graph.output)
    halves = _halve_weights(graph, floats - outside)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.name in around:
            nodes.append(node)
        else:
            nodes += [*_halve_inputs(node, floats, halves), node, *_halve_outputs(node, floats, halves, outside)]
    del graph.node[:]
    graph.node.extend(nodes)


def _halve_inputs(node: onnx.NodeProto, floats: set[str], halves: dict[str, str]) -> list[onnx.NodeProto]:
    """Lets a node read FP16 and returns the casts that come before it; `halves` maps each float to its FP16."""
    casts = []
    for position in _inputs_of_half(node):
        name = node.input[position]
        if name in floats and name not in halves:
            halves[name] = _half(name)
            casts.append(_cast(name, halves[name], TensorProto.FLOAT16))
        node.input[position] = halves.get(name, name)
    return casts


def _halve_outputs(
    node: onnx.NodeProto, floats: set[str], halves: dict[str, str], outside: set[str]
) -> list[onnx.NodeProto]:
    """Lets a node give FP16 and returns the casts for those who read its float32 outside of the network."""
    casts = []
    for position, name in enumerate(node.output):
        if name in floats:
            halves[name] = _half(name) if name in outside else name
            node.output[position] = halves[name]
            if name in outside:
                casts.append(_cast(halves[name], name, TensorProto.FLOAT))
    return casts


def _halve_weights(graph: onnx.GraphProto, names: set[str]) -> dict[str, str]:
    """Rounds the weights of those names to FP16, which one finds under their old names."""
    halves = {}
    readers = [(node, position) for node in graph.node for position in range(len(node.input))]
    kept = {node.input[position] for node, position in readers if position not in _inputs_of_half(node)}
    for tensor in graph.initializer:
        if tensor.name in names - kept:
            array = numpy_helper.to_array(tensor)
            largest = float(np.abs(array).max(initial=0))
            if largest > LARGEST_HALF:
                raise ExportError(
                    f"weight {tensor.name!r}: expected at most {LARGEST_HALF:g}, the largest number of FP16, "
                    f"got {largest:g}. Ship this network in fp32 or INT8."
                )
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), tensor.name))
            halves[tensor.name] = tensor.name
    return halves


def _inputs_of_half(node: onnx.NodeProto) -> list[int]:
    """The positions of the inputs that may be FP16; the scales of a Resize, for one, may not."""
    formal = onnx.defs.get_schema(node.op_type, OPSET).inputs
    # Behind the last formal input come more of its kind, as in Concat.
    return [
        position
        for position in range(len(node.input))
        if "tensor(float16)" in formal[min(position, len(formal) - 1)].types
    ]


def _float_values(model: onnx.ModelProto) -> set[str]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    names = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return names | {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}


def _cast(source: str, target: str, element_type: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], f"cast_{target}", to=element_type)


def _half(name: str) -> str:
    return f"{name}_half"
