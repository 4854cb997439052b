"""Converts an exported ONNX file to OpenVINO's own format, so that a board needs no ONNX reader at start."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from onnx import GraphProto

from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import read_onnx
from hkd_edge_runtime.files import write_atomically

if TYPE_CHECKING:
    import openvino


def to_openvino(onnx: Path, xml: Path, *, half_weights: bool = False) -> Path:
    """Writes `xml` and, beside it, the `.bin` of its weights; returns `xml`.

    Weights keep the precision that they have in the ONNX file, inputs and outputs keep their names, and the
    same ONNX file gives the same bytes. Each of the two files is whole or not there.

    `half_weights` is for fp32 files: the weights are stored in FP16, in half the bytes. What a device computes in
    remains its own choice.

    Raises:
        ExportError: where `onnx` is no ONNX model, or OpenVINO cannot read it. Existing files then stay.
    """
    expected = read_onnx(onnx).graph
    import openvino
    from openvino import frontend

    failures = (frontend.OpConversionFailure, frontend.OpValidationFailure, frontend.GeneralFailure)
    try:
        # Not `Core.read_model`: this folds constants too, which halves the .xml and saves start-up time.
        model = openvino.convert_model(onnx)
    except (RuntimeError, *failures) as error:
        raise ExportError(f"{onnx}: expected a network that OpenVINO reads, but it says: {error}") from error
    if half_weights:
        model = _with_half_weights(model)
    _check_names([value.name for value in (*expected.input, *expected.output)], model)
    _name_layers(model, {*_names_in(expected)})
    for key in list(model.get_rt_info()):  # the build of OpenVINO and the name of the input file
        del model.get_rt_info()[key]
    # Not `save_model`: it chooses the second file's name itself.
    with write_atomically(xml) as xml_file, write_atomically(xml.with_suffix(".bin")) as bin_file:
        openvino.serialize(model, xml_file, bin_file)
    return xml


def _with_half_weights(model: openvino.Model) -> openvino.Model:
    import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the weights outlive the file that they are read from
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.xml"
        # The only public way to compress: what compresses in memory is a module of OpenVINO's own.
        openvino.save_model(model, path, compress_to_fp16=True)
        return core.read_model(path)


def _check_names(expected: list[str], model: openvino.Model) -> None:
    arrived = [port.get_any_name() for port in (*model.inputs, *model.outputs)]
    if arrived != expected:
        raise ExportError(f"OpenVINO: expected the inputs and outputs {expected}, got {arrived}.")


def _name_layers(model: openvino.Model, known: set[str]) -> None:
    """Numbers the layers that OpenVINO named by a counter of this process, which differs from run to run."""
    for position, layer in enumerate(model.get_ordered_ops()):
        if layer.get_friendly_name().partition("/")[0] not in known:
            layer.set_friendly_name(f"{layer.get_type_name()}.{position}")


def _names_in(graph: GraphProto) -> Iterator[str]:
    for part in (*graph.input, *graph.output, *graph.initializer, *graph.node):
        yield part.name
