"""The ladder to INT8 for one target: cheap ways first, each judged on the built file, until one is good enough."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hkd_edge.delivery.source import Images, Source
from hkd_edge.evaluate.accuracy import measure_difference
from hkd_edge.evaluate.artefacts import TENSORRT, Artefact, answer
from hkd_edge.evaluate.gates import accuracy_gates
from hkd_edge.recipe.delivery import Target, Validate
from hkd_edge_export.accuracy_control import quantize_with_accuracy_control
from hkd_edge_export.ladder import Candidate, LadderResult, Rung, Score, Trial, climb
from hkd_edge_export.lint import read_onnx
from hkd_edge_export.lint_int8 import has_quantizers
from hkd_edge_export.quantize import Ranges, quantize_int8
from hkd_edge_export.signed import to_signed
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_runtime.evaluation import top1_percent

_CLIPPED: tuple[Ranges, ...] = ("mean_quantile", "histogram")
_PLAIN = "as trained"
_ENOUGH = 0.1  # points of top-1, 6 of 6,000 images: less than other images of the same kind would tell apart
_PTQ, _CLIPPED_PTQ, _EQUALIZED_PTQ = "ptq", "ptq, clipped ranges", "ptq, equalized channels"
_CONTROL, _FINE_TUNING = "accuracy control", "quantization-aware fine-tuning"
RUNGS = (_PTQ, _CLIPPED_PTQ, _EQUALIZED_PTQ, _CONTROL, _FINE_TUNING)
# What each target computes right and fast with; see `hkd_edge_export.quantize`. With the stem in float logits err by
# half as much; OpenVINO pays for that with a few percent of its speed, ONNX Runtime gains (docs/targets.md).
_HALF_RANGE: tuple[Target, ...] = ("onnxruntime", "openvino")
_FLOAT_STEM: tuple[Target, ...] = ("onnxruntime", "openvino")


class Int8Maker:
    """Makes the INT8 ONNX file of each target from one source.

    What several targets share is made once and kept in `work`, a folder of this process.
    """

    def __init__(self, source: Source, work: Path) -> None:
        self._source = source
        self._work = work
        self._variants = {_PLAIN: None, "equalized channels": source.equalized, "fine-tuned": source.fine_tuned}

    def climb(
        self,
        target: Target,
        out: Path,
        max_drop: float,
        on_trial: Callable[[Trial], None] = lambda trial: None,
        gates: Validate | None = None,
    ) -> LadderResult:
        """Leaves at `out` the ONNX file of the first rung that loses at most `max_drop` points, or no file.

        The loss is that of the target's own INT8 file against its own fp32 file on the validation images. With `gates`
        the file must also hold those on single classes and on agreement, by which it will be validated.

        Raises:
            ValueError: if the source has no validation images.
        """
        if self._source.validation is None:
            raise ValueError("source.validation: expected images to decide by, got none.")
        judge = _Judge(target, self._source, self._source.validation, self._work, gates)
        return climb(
            self._rungs(target, judge, max_drop),
            judge.score,
            judge.score(self._source.fp32),
            out,
            max_drop=max_drop,
            enough=_ENOUGH,
            on_trial=on_trial,
        )

    def _rungs(self, target: Target, judge: _Judge, max_drop: float) -> list[Rung]:
        def quantized(variant: str, ranges: Ranges, corrected: bool = False) -> Candidate:
            name = f"{ranges}, bias correction" if corrected else ranges
            return Candidate(name, lambda place: self._quantize(place, target, variant, ranges, corrected))

        # Without bias correction first: of equals the ladder takes the first, and that is the simpler file.
        rungs = [
            Rung(_PTQ, tuple(quantized(_PLAIN, "minmax", corrected) for corrected in (False, True))),
            Rung(_CLIPPED_PTQ, tuple(quantized(_PLAIN, ranges) for ranges in _CLIPPED)),
        ]
        if self._source.equalized is not None:
            both = tuple(quantized("equalized channels", "minmax", corrected) for corrected in (False, True))
            rungs.append(Rung(_EQUALIZED_PTQ, both))
        controlled = Candidate("minmax", lambda place: self._control(place, target, judge, max_drop))
        rungs.append(Rung(_CONTROL, (controlled,)))
        if self._source.fine_tuned is not None:
            rungs.append(Rung(_FINE_TUNING, (quantized("fine-tuned", "minmax"),)))
        return rungs

    def _quantize(self, place: Path, target: Target, variant: str, ranges: Ranges, corrected: bool) -> Path:
        unsigned = place.with_name("unsigned.onnx")
        quantize_int8(
            self._network(variant),
            unsigned,
            self._source.calibration,
            bias_correction=corrected,
            ranges=ranges,
            half_range_weights=target in _HALF_RANGE,
            float_stem=target in _FLOAT_STEM,
        )
        return _finish(unsigned, place, target)

    def _control(self, place: Path, target: Target, judge: _Judge, max_drop: float) -> Path:
        unsigned = place.with_name("controlled.onnx")
        quantize_with_accuracy_control(
            self._source.fp32,
            unsigned,
            self._source.calibration,
            judge.score_unsigned,
            max_drop=max_drop,
            bias_correction=False,
            half_range_weights=target in _HALF_RANGE,
            float_stem=target in _FLOAT_STEM,
        )
        return _finish(unsigned, place, target)

    def _network(self, variant: str) -> Path:
        """The fp32 file of a variant of the network."""
        make = self._variants[variant]
        if make is None:
            return self._source.fp32
        path = self._work / f"{variant.replace(' ', '_')}.onnx"
        return path if path.exists() else make(path)


def _finish(unsigned: Path, place: Path, target: Target) -> Path:
    """Writes `place` from the file that `quantize_int8` made, as the target needs it."""
    if target == TENSORRT:
        return to_signed(unsigned, place)
    return unsigned.replace(place)


class _Judge:
    """Scores ONNX files as the artefacts of a target that they will become.

    With `gates`, a file that misses one of them against the target's fp32 file has a fault.
    """

    def __init__(self, target: Target, source: Source, images: Images, work: Path, gates: Validate | None) -> None:
        self._target = target
        self._fp32 = source.fp32
        self._images = images
        self._work = work
        self._gates = gates

    @functools.cached_property
    def reference(self) -> NDArray[np.float32]:
        """What the target's fp32 file answers: logits (N, C)."""
        return self._logits(self._fp32)

    def score(self, onnx: Path) -> Score:
        """The score of the target's artefact that is made from a file of the ladder, or from the fp32 file."""
        logits, labels = self._logits(onnx), self._images.labels
        return Score(top1_percent(logits, labels), len(labels), self._fault(logits))

    def score_unsigned(self, onnx: Path) -> float:
        """Top-1 of a file with unsigned activations, some of its layers or all in float."""
        if self._target == TENSORRT and has_quantizers(read_onnx(onnx)):
            return self.score(to_signed(onnx, self._work / "judged.onnx")).top1
        return self.score(onnx).top1

    def _logits(self, onnx: Path) -> NDArray[np.float32]:
        # For OpenVINO the same bytes as those that are delivered later: the conversion depends on the file alone.
        path = to_openvino(onnx, self._work / "judged.xml") if self._target == "openvino" else onnx
        return answer(Artefact(self._target, "int8", path), self._images.images).logits

    def _fault(self, logits: NDArray[np.float32]) -> str:
        """What the ladder's own limit on top-1 does not see."""
        if self._gates is None:
            return ""
        classes = tuple(f"class {index}" for index in range(logits.shape[1]))
        difference = measure_difference(logits, self.reference, self._images.labels, classes)
        gates = accuracy_gates(self._target, "int8", difference, self._gates, (len(logits), "validation"))
        failed = [gate for gate in gates if gate.status == "failed" and gate.name != "max_top1_drop"]
        return "; ".join(f"expected {gate.expected}, got {gate.measured}" for gate in failed)
