"""Quantizes to INT8 and takes layers back to float, the worst first, until the accuracy is back."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from hkd_edge_export.canonical import save
from hkd_edge_export.errors import ExportError
from hkd_edge_export.lint import lint_onnx, read_onnx
from hkd_edge_export.lint_int8 import WEIGHTED
from hkd_edge_export.quantize import (
    Ranges,
    advanced_parameters,
    nncf_arguments,
    nodes_around_the_network,
    save_int8,
)
from hkd_edge_export.quiet import quiet


class NothingQuantizedError(ExportError):
    """Accuracy control gave every layer back to float: this network needs another way to INT8."""


@dataclass(frozen=True)
class AccuracyControlResult:
    """The file that accuracy control wrote.

    Attributes:
        float_layers: the layers that stayed in float, as `float_layers` names them.
        fp32_score, score: of the file that came in and of the one written, by `validate`.
        validations: how many files `validate` was asked about.
    """

    path: Path
    float_layers: tuple[str, ...]
    fp32_score: float
    score: float
    validations: int


def quantize_with_accuracy_control(
    fp32: Path,
    out: Path,
    calibration: npt.NDArray[np.uint8],
    validate: Callable[[Path], float],
    *,
    max_drop: float,
    bias_correction: bool,
    ranges: Ranges = "minmax",
    half_range_weights: bool = True,
    float_stem: bool = False,
) -> AccuracyControlResult:
    """Writes `out`: quantized like `quantize_int8` does, but for layers that stay in float for accuracy's sake.

    `validate` scores an ONNX file on validation images, higher is better: `fp32`, the quantized file, and the
    quantized file with one group of layers after another taken back. Groups then go back in the order of those
    scores until the score is at most `max_drop` below that of `fp32`. What `validate` prints is not shown; what it
    raises is raised. Scores that do not vary give bytes that do not.

    Raises:
        NothingQuantizedError: if every layer had to go back.
        ExportError: as by `quantize_int8`. An existing `out` then stays as it was.
    """
    model = lint_onnx(fp32)
    arguments = nncf_arguments(model, calibration, float_stem)
    scores = _Scores(validate)
    import nncf

    with quiet():
        quantized = nncf.quantize_with_accuracy_control(
            model,
            **arguments,
            # One item that stands for all validation images: NNCF would ask for the score of each item by itself.
            validation_dataset=nncf.Dataset([None]),
            validation_fn=scores,
            max_drop=max_drop,
            advanced_quantization_parameters=advanced_parameters(bias_correction, ranges, half_range_weights),
            # NNCF would choose the number of workers by a stopwatch, and so the order of calls.
            advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(num_ranking_workers=1),
        )
    in_float = float_layers(quantized)
    if not any(node.op_type == "QuantizeLinear" for node in quantized.graph.node):
        raise NothingQuantizedError(
            f"accuracy control: expected some layers in INT8 at a score at most {max_drop:g} below fp32, got none: "
            f"all {len(in_float)} went back to float. Train with fake quantization, or ship the float file."
        )
    save_int8(quantized, out, half_range_weights)
    return AccuracyControlResult(out, in_float, scores.of(model), scores.of(quantized), scores.asked)


def float_layers(source: Path | onnx.ModelProto) -> tuple[str, ...]:
    """The weighted layers of the network whose weights are no integers, by their torch names, in their order.

    The membership of the concepts is no layer. Of an fp32 file these are all layers.

    Raises:
        ExportError: if the file cannot be read as ONNX.
    """
    graph = (source if isinstance(source, onnx.ModelProto) else read_onnx(source)).graph
    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    outside = set(nodes_around_the_network(graph))
    return tuple(
        node.input[1].removeprefix("net.").removesuffix(".weight")
        for node in graph.node
        if node.op_type in WEIGHTED and node.name not in outside and node.input[1] in floats
    )


class _Scores:
    """The scores of models by their content: NNCF asks about some models several times."""

    def __init__(self, validate: Callable[[Path], float]) -> None:
        self._validate = validate
        self._by_content: dict[bytes, float] = {}

    @property
    def asked(self) -> int:
        """How many different models were scored."""
        return len(self._by_content)

    def of(self, model: onnx.ModelProto) -> float:
        """The score of a model, as a file."""
        content = hashlib.sha256(model.SerializeToString(deterministic=True)).digest()
        if content not in self._by_content:
            with tempfile.TemporaryDirectory() as folder:
                self._by_content[content] = self._validate(save(model, Path(folder) / "model.onnx"))
        return self._by_content[content]

    def __call__(self, model: onnx.ModelProto, items: Iterable[None]) -> tuple[float, list[float]]:
        """The score of a model, and that of each item of the validation set, which has just one."""
        score = self.of(model)
        return score, [score]
