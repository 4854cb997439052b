"""OpenVINO on the CPU, with its telemetry blocked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from hkd_edge_runtime.backends.base import (
    CONCEPT_PROBABILITIES,
    INPUT,
    LOGITS,
    OUTPUTS,
    Backend,
    Bound,
    Outputs,
    check_contract,
    check_input_shape,
    outputs_of,
)
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.packages import import_package
from hkd_edge_runtime.telemetry import block_telemetry

if TYPE_CHECKING:
    import numpy.typing as npt


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
        self._core: Any = None
        self._model: Any = None
        self._settings: dict[str, object] = {}
        self._names: list[str] = []
        self._title = ""
        self._request: Any = None

    def version(self) -> str:
        """The version of OpenVINO, without the build."""
        return str(self._import().__version__).partition("-")[0]

    def _open(self, path: Path, threads: int) -> tuple[int, int, int]:
        openvino = self._import()
        self._title = f"{path.name}: expected a model for OpenVINO {openvino.__version__}"
        self._settings = self._make_settings(threads)
        with self._refusals():
            self._core = openvino.Core()
            self._model = self._core.read_model(str(path))
        inputs = {each.any_name: each.element_type.to_dtype().name for each in self._model.inputs}
        names = [each.any_name for each in self._model.outputs]
        check_contract(path, inputs, set(names))
        sizes = [None if size.is_dynamic else size.get_length() for size in self._model.input(0).partial_shape]
        shape = check_input_shape(path, sizes)
        self._names = [name for name in OUTPUTS if name in names]
        return shape

    def _run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        if self._request is None:
            self._request = self._compile(self._model).create_infer_request()
        # The input may be shared, as infer() returns only when it has been read; the outputs are copies.
        results = self._request.infer({INPUT: images}, share_inputs=True, share_outputs=False)
        return outputs_of(results[name] for name in self._names)

    def _bind(self, shape: tuple[int, int, int]) -> Bound:
        # With the batch open, OpenVINO plans anew in each call, which for one image costs nearly as much as the image.
        # So single images have a compiled model of their own; neither of the two is made before it is needed.
        with self._refusals():
            model = self._model.clone()
            model.reshape({INPUT: [1, *shape]})
        compiled = self._compile(model)
        sizes = {name: compiled.output(name).shape[1] for name in self._names}
        bound = Bound(shape, sizes[LOGITS], sizes.get(CONCEPT_PROBABILITIES, 0))
        request = compiled.create_infer_request()
        tensor = self._import().Tensor
        request.set_tensor(INPUT, tensor(bound.images, shared_memory=True))
        for name in self._names:
            request.set_tensor(name, tensor(bound.outputs[name], shared_memory=True))
        bound.infer = _direct_infer(request)
        return bound

    def _close(self) -> None:
        self._request = self._model = self._core = None

    def _make_settings(self, threads: int) -> dict[str, object]:
        settings: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        if self._inference_precision is not None:
            settings["INFERENCE_PRECISION_HINT"] = self._inference_precision
        return settings

    def _compile(self, model: Any) -> Any:
        with self._refusals():
            return self._core.compile_model(model, "CPU", self._settings)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise BundleError(
                f"{self._title}, which refuses it: {' '.join(str(error).split())}. Export it again, or install a "
                "newer openvino."
            ) from error

    def _import(self) -> ModuleType:
        block_telemetry()
        return import_package(self.package, self.requirement)


def _direct_infer(request: Any) -> Callable[[], object]:
    """`request.infer()` without its part in Python, where this OpenVINO is built like that.

    That part finds nothing to convert, as the tensors are set, and takes 8 us of a call of 120 us.
    """
    public = partial(request.infer, share_outputs=True)
    try:
        # Shared, or the outputs would be copied once more for a dictionary that nobody reads.
        direct = partial(super(type(request), request).infer, {}, share_outputs=True, decode_strings=False)
        direct()
    except (AttributeError, TypeError):
        return public
    return direct
