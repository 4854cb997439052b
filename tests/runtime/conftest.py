"""A linear classifier of drawn images as numpy, ONNX and OpenVINO files, a fake backend, and bundles of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hkd_edge_runtime.archive import write_archive
from hkd_edge_runtime.backends import BACKENDS, backend_class
from hkd_edge_runtime.backends.base import Backend, Outputs
from hkd_edge_runtime.cache import _warn_once
from hkd_edge_runtime.golden import golden_key
from hkd_edge_runtime.hierarchy import Axis, Hierarchy
from hkd_edge_runtime.manifest import (
    MANIFEST_NAME,
    Artefact,
    Golden,
    InputSpec,
    Manifest,
    file_entry,
    read_manifest,
    write_manifest,
)
from hkd_edge_runtime.telemetry import block_telemetry

HIERARCHY = Hierarchy(
    ("cat", "dog", "car", "cup"),
    (Axis("kind", ("animal", "thing"), (0, 0, 1, 1)), Axis("size", ("small", "large"), (0, -1, 1, 0))),
)
FLAT = Hierarchy(HIERARCHY.classes)
GREY = InputSpec(4, 5, 1)
RGB = InputSpec(4, 5, 3, color="rgb")


@dataclass(frozen=True)
class Toy:
    """logits = (pixels / 255 - 1/2) / (1/4), as one row in the order C, H, W, times `weights`."""

    spec: InputSpec
    hierarchy: Hierarchy
    weights: np.ndarray

    def outputs(self, images: np.ndarray) -> Outputs:
        pixels = (images.astype(np.float64) / 255 - 0.5) / 0.25
        logits = pixels.transpose(0, 3, 1, 2).reshape(len(images), -1) @ self.weights
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        masses = probabilities @ self.hierarchy.membership()
        return Outputs(*(array.astype(np.float32) for array in (logits, probabilities, masses)))

    def images(self, count: int = 6) -> np.ndarray:
        """Bright bars on a dark ramp, each image with its bar elsewhere."""
        height, width, channels = self.spec.shape
        ramp = np.arange(height * width * channels, dtype=np.uint8).reshape(self.spec.shape)
        images = np.stack([ramp] * count)
        for index, image in enumerate(images):
            image[index % height, index % width :] = 200 - 10 * index
        return images


def make_toy(spec: InputSpec = GREY, hierarchy: Hierarchy = HIERARCHY) -> Toy:
    rows = spec.height * spec.width * spec.channels
    weights = np.random.default_rng(7).normal(0, 0.3, (rows, len(hierarchy.classes)))
    return Toy(spec, hierarchy, weights.astype(np.float32))


class FakeBackend(Backend):
    """Opens the weights of a Toy from an .npz file."""

    name = "fake"
    package = "numpy"
    requirement = "fake-runtime"

    def __init__(self) -> None:
        super().__init__()
        self._toy: Toy | None = None

    def version(self) -> str:
        return "1.0"

    def _open(self, path: Path, threads: int) -> tuple[int, int, int]:
        with np.load(path) as arrays:
            spec = next(spec for spec in (GREY, RGB) if spec.shape == tuple(arrays["shape"]))
            hierarchy = HIERARCHY if arrays["concepts"] else FLAT
            self._toy = Toy(spec, hierarchy, arrays["weights"])
        return spec.shape

    def _run(self, images: np.ndarray) -> Outputs:
        assert self._toy is not None
        return self._toy.outputs(images)

    def _close(self) -> None:
        self._toy = None


def write_fake(folder: Path, toy: Toy) -> tuple[Path, ...]:
    path = folder / "model.npz"
    np.savez(path, weights=toy.weights, shape=toy.spec.shape, concepts=bool(toy.hierarchy.axes))
    return (path,)


def write_onnx(folder: Path, toy: Toy) -> tuple[Path, ...]:
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    float32, uint8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
    values = {
        "scale": np.float32(1 / 255 / 0.25).reshape(1, 1, 1, 1),
        "shift": np.float32(-2).reshape(1, 1, 1, 1),
        "weights": toy.weights,
        "membership": toy.hierarchy.membership(),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=float32),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["normal"]),
        helper.make_node("Flatten", ["normal"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
        helper.make_node("MatMul", ["probabilities", "membership"], ["concept_probabilities"]),
    ]
    classes, concepts = toy.hierarchy.membership().shape
    widths = {"logits": classes, "probabilities": classes, "concept_probabilities": concepts}
    if concepts == 0:
        del widths["concept_probabilities"], values["membership"], nodes[-1]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", uint8, ["batch", *toy.spec.shape])],
        [helper.make_tensor_value_info(name, float32, ["batch", width]) for name, width in widths.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / "model.onnx")
    return (folder / "model.onnx",)


def write_openvino(folder: Path, toy: Toy) -> tuple[Path, ...]:
    block_telemetry()
    openvino = pytest.importorskip("openvino")
    (onnx_file,) = write_onnx(folder, toy)
    openvino.save_model(openvino.convert_model(onnx_file), folder / "model.xml", compress_to_fp16=False)
    onnx_file.unlink()
    return folder / "model.xml", folder / "model.bin"


WRITERS = {"fake": write_fake, "onnxruntime": write_onnx, "openvino": write_openvino, "tensorrt": write_onnx}


def write_model(target: str, folder: Path, toy: Toy) -> tuple[Path, ...]:
    """Writes the files of `toy` for a target; skips the test where that target's runtime is missing."""
    block_telemetry()
    reason = backend_class(target).missing_reason()
    if reason is not None:
        pytest.skip(reason)
    folder.mkdir(parents=True, exist_ok=True)
    return WRITERS[target](folder, toy)


def make_bundle(
    folder: Path,
    *artefacts: dict[str, Any],
    toy: Toy | None = None,
    golden_shift: float = 0.0,
) -> Path:
    """A bundle of toys; each of `artefacts` may say target, precision, shipped, reason, metrics, profile, and `toy`."""
    toy = toy or make_toy()
    images = toy.images()
    arrays = {"images": images}
    entries = []
    for wanted in artefacts or ({},):
        target, precision = wanted.get("target", "fake"), wanted.get("precision", "fp32")
        place = f"artefacts/{target}-{precision}"
        writer = target if target in ("onnxruntime", "openvino") else "fake"
        files = write_model(writer, folder / place, wanted.get("toy", toy))
        arrays[golden_key(target, precision)] = toy.outputs(images).probabilities + np.float32(golden_shift)
        entries.append(
            Artefact(
                target,
                precision,
                tuple(file_entry(folder, f"{place}/{file.name}") for file in files),
                wanted.get("shipped", True),
                wanted.get("reason", ""),
                wanted.get("metrics", {"top1": 0.9}),
                profile=wanted.get("profile"),
            )
        )
    np.savez(folder / "golden.npz", **arrays)
    golden = Golden(file_entry(folder, "golden.npz"), {"fp32": 1e-5, "int8": 0.05})
    manifest = Manifest("pets", "hkd-edge 0.1.0", toy.spec, toy.hierarchy, tuple(entries), golden, {}, {"seed": 1})
    write_manifest(folder, manifest)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _fake_target() -> Iterator[None]:
    """Registers the fake backend under the target `fake`."""
    module = ModuleType("hkd_edge_fake_backend")
    module.FakeBackend = FakeBackend  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "hkd_edge_fake_backend", module)
        patch.setitem(BACKENDS, "fake", "hkd_edge_fake_backend:FakeBackend")
        yield


@pytest.fixture(autouse=True)
def _no_memory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache directory, so that no test hangs on what another remembered, or on what the user has."""
    _warn_once.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def fake_backend() -> type[Backend]:
    return FakeBackend


@pytest.fixture(scope="session")
def toy() -> Toy:
    return make_toy()


@pytest.fixture(scope="session")
def rgb_toy() -> Toy:
    return make_toy(RGB)


@pytest.fixture(scope="session")
def flat_toy() -> Toy:
    return make_toy(hierarchy=FLAT)


@pytest.fixture(scope="session")
def model_writer() -> Callable[..., tuple[Path, ...]]:
    return write_model


@pytest.fixture
def bundle_maker(tmp_path: Path) -> Callable[..., Path]:
    """`make_bundle` in a folder of its own."""
    return lambda *artefacts, **options: make_bundle(tmp_path / "bundle", *artefacts, **options)


@pytest.fixture
def packed(tmp_path: Path) -> Callable[[Path], Path]:
    """The bundle of a folder as one .hkd file."""

    def pack(folder: Path) -> Path:
        names = [MANIFEST_NAME, *(entry.path for entry in read_manifest(folder).files())]
        write_archive(tmp_path / "packed.hkd", [(name, (folder / name).read_bytes()) for name in names])
        return tmp_path / "packed.hkd"

    return pack


@pytest.fixture
def bundle(bundle_maker: Callable[..., Path]) -> Path:
    """A bundle with one artefact, fake fp32."""
    return bundle_maker()
