"""OpenVINO on the CPU, with its telemetry blocked."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime.backends.base import (
    CONCEPT_PROBABILITIES,
    INPUT,
    LOGITS,
    PROBABILITIES,
    Backend,
    Outputs,
    check_contract,
    check_input_shape,
)
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.packages import import_package
from hkd_edge_runtime.telemetry import block_telemetry


class OpenVinoBackend(Backend):
    """Runs .xml files (with their .bin beside them).

    `inference_precision` is f32 because CPUs with bf16 would otherwise compute in bf16 without being asked
    (logits then move by up to 0.5), and because int8 models on 64-bit ARM come out wrong without it. None leaves the
    choice to OpenVINO.
    """

    name = "openvino"
    package = "openvino"
    requirement = "openvino"

    def __init__(self, inference_precision: str | None = "f32") -> None:
        super().__init__()
        self._inference_precision = inference_precision
        self._request: Any = None
        self._names: list[str] = []

    def version(self) -> str:
        """The version of OpenVINO, without the build."""
        return str(self._import().__version__).partition("-")[0]

    def _open(self, path: Path, threads: int) -> tuple[int, int, int]:
        compiled = self._compile(path, threads)
        inputs = {each.any_name: each.element_type.to_dtype().name for each in compiled.inputs}
        names = [each.any_name for each in compiled.outputs]
        check_contract(path, inputs, set(names))
        sizes = [None if size.is_dynamic else size.get_length() for size in compiled.input(0).partial_shape]
        shape = check_input_shape(path, sizes)
        self._request = compiled.create_infer_request()
        self._names = [name for name in (LOGITS, PROBABILITIES, CONCEPT_PROBABILITIES) if name in names]
        return shape

    def _run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        # The input may be shared, as infer() returns only when it has been read; the outputs are copies.
        results = self._request.infer({INPUT: images}, share_inputs=True, share_outputs=False)
        logits, probabilities, *concepts = (results[name] for name in self._names)
        return Outputs(logits, probabilities, concepts[0] if concepts else np.empty((len(images), 0), np.float32))

    def _close(self) -> None:
        self._request = None

    def _compile(self, path: Path, threads: int) -> Any:
        openvino = self._import()
        settings: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        if self._inference_precision is not None:
            settings["INFERENCE_PRECISION_HINT"] = self._inference_precision
        try:
            core = openvino.Core()
            return core.compile_model(core.read_model(str(path)), "CPU", settings)
        except RuntimeError as error:
            raise BundleError(
                f"{path.name}: expected a model for OpenVINO {openvino.__version__}, which refuses it: "
                f"{' '.join(str(error).split())}. Export it again, or install a newer openvino."
            ) from error

    def _import(self) -> ModuleType:
        block_telemetry()
        return import_package(self.package, self.requirement)
