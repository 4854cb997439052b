"""TensorRT and TensorRT-RTX on an NVIDIA GPU; the engine is built on the board at first use, and kept."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hkd_edge_runtime.backends.base import Backend, Outputs, outputs_of
from hkd_edge_runtime.cache import cache_folder
from hkd_edge_runtime.errors import MissingBackendError
from hkd_edge_runtime.packages import is_installed
from hkd_edge_runtime.tensorrt import cuda, installed
from hkd_edge_runtime.tensorrt.progress import Tell, log_progress
from hkd_edge_runtime.tensorrt.record import BatchProfile

if TYPE_CHECKING:
    from hkd_edge_runtime.manifest import Artefact
    from hkd_edge_runtime.tensorrt.execution import EngineRunner

ENGINES = "engines"
# Of a file that was opened without a manifest that tells.
UNKNOWN_PRECISION = "unknown"
HOW_TO_INSTALL = (
    "On a Jetson it comes with JetPack (make the virtual environment with --system-site-packages); elsewhere run: "
    "pip install tensorrt"
)


class TensorRtBackend(Backend):
    """Runs .onnx files made for TensorRT: strongly typed, quantized ones signed.

    The first CUDA device is used (CUDA_VISIBLE_DEVICES chooses); `threads` means nothing to it. `tell` is given lines
    about a build, which takes minutes on a board.
    """

    name = "tensorrt"
    package = installed.MODULES[0]
    requirement = cuda.REQUIREMENT

    def __init__(
        self,
        profile: BatchProfile | None = None,
        precision: str = UNKNOWN_PRECISION,
        tell: Tell = log_progress,
    ) -> None:
        super().__init__()
        self._profile = profile or BatchProfile()
        self._precision = precision
        self._tell = tell
        self._runner: EngineRunner | None = None
        self.max_batch = self._profile.max

    @classmethod
    def for_artefact(cls, artefact: Artefact) -> TensorRtBackend:
        return cls(artefact.profile, artefact.precision)

    @classmethod
    def missing_reason(cls) -> str | None:
        """Why no engine can run here. Neither TensorRT nor cuda-bindings is imported; the driver is asked for a GPU."""
        found = installed.found_title()
        if found is None:
            return f"expected TensorRT to be installed, found none. {HOW_TO_INSTALL}"
        if not is_installed("cuda.bindings"):
            return f'expected cuda-bindings beside {found}, found none. Run: pip install "{cls.requirement}"'
        if installed.current_gpu() is None:
            return no_gpu(found)
        return None

    @classmethod
    def device(cls) -> str:
        """The GPU's name and compute capability; empty without one."""
        gpu = installed.current_gpu()
        return f"{gpu.name}, compute capability {gpu.compute_capability}" if gpu else ""

    @property
    def graph_refusal(self) -> str | None:
        """Why CUDA graphs are not used, which costs time at each call; None while they are, or none is open."""
        return self._runner.graph_refusal if self._runner is not None else None

    def version(self) -> str:
        """The version of TensorRT or TensorRT-RTX."""
        return str(self._import().__version__)

    def _open(self, path: Path, threads: int) -> tuple[int, int, int]:
        # Here and not above, so that looking for a runtime stays cheap.
        from hkd_edge_runtime.tensorrt.engine import EngineRequest, engine_shapes, open_engine
        from hkd_edge_runtime.tensorrt.execution import EngineRunner

        module, gpu = self._import(), installed.current_gpu()
        if gpu is None:
            raise MissingBackendError(no_gpu(installed.title(module)))
        runtime = cuda.CudaRuntime()
        runtime.use_first_device()
        request = EngineRequest(path, self._precision, gpu, self._profile)
        engine = open_engine(module, request, cache_folder() / ENGINES, self._tell)
        shapes = engine_shapes(engine, module, path)
        self._runner = EngineRunner(module, engine, runtime, self._profile, shapes)
        return shapes.image

    def _run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        assert self._runner is not None
        return outputs_of(self._runner.run(images))

    def _close(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def _import(self) -> ModuleType:
        module, broken = installed.search_tensorrt()
        if module is None:
            told = "; ".join(f"{name} does not load: {error}" for name, error in broken.items()) or "found none"
            raise MissingBackendError(f"expected TensorRT to be installed, {told}. {HOW_TO_INSTALL}")
        return module


def no_gpu(title: str) -> str:
    """What to say of a TensorRT that has nothing to run on."""
    return f"{title} found, but no NVIDIA GPU (or no driver for it). Take another target here."
