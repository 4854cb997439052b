"""Gives an ONNX model one form: the same weights give the same bytes, wherever they are exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx

from hkd_edge_runtime.files import write_atomically


def strip(model: onnx.ModelProto) -> None:
    """Removes what tells of the exporting machine (stack traces, file paths, builds) and inferred shapes."""
    graph = model.graph
    described: Iterable[Any] = (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer)
    for part in described:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    del graph.value_info[:]
    model.producer_name = "hkd-edge"
    model.ClearField("producer_version")
    graph.name = "classifier"
    # The tools insert initializers in an order of their own; no reader depends on it.
    ordered = sorted(graph.initializer, key=lambda tensor: tensor.name)
    del graph.initializer[:]
    graph.initializer.extend(ordered)


def rename_nodes(model: onnx.ModelProto) -> None:
    """Names the nodes and their inner outputs `conv_0`, `conv_1`, ... in their order.

    Weights keep the names of the torch modules, and inputs and outputs of the graph theirs.
    """
    fixed = {output.name for output in model.graph.output}
    seen: Counter[str] = Counter()
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        node.name = f"{node.op_type.lower()}_{seen[node.op_type]}"
        seen[node.op_type] += 1
        for position, name in enumerate(node.output):
            if name and name not in fixed:
                renamed[name] = f"{node.name}.{position}" if position else node.name
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Writes the model whole or not at all, and returns the path."""
    with write_atomically(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
    return path
