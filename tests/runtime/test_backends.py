"""The contract suite: every backend gives what numpy gives, and refuses the same inputs with the same words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hkd_edge_runtime.backends import BACKENDS, Backend, backend_class
from hkd_edge_runtime.errors import BundleError, ClosedModelError, InputError, MissingBackendError

RUNTIMES = ["onnxruntime", "openvino"]
# Where no GPU is, tests/runtime/tensorrt runs this backend on stand-ins for TensorRT and CUDA.
ON_A_GPU = pytest.param("tensorrt", marks=pytest.mark.gpu)


@pytest.fixture(params=["fake", *RUNTIMES, ON_A_GPU])
def target(request: pytest.FixtureRequest) -> str:
    if request.param not in BACKENDS:
        pytest.skip(f"this version has no backend for {request.param}")
    return str(request.param)


@pytest.fixture
def opener(
    target: str, tmp_path: Path, model_writer: Callable[..., tuple[Path, ...]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Opens a toy on the target."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    backend = backend_class(target)()

    def open_toy(toy: Any) -> Backend:
        backend.open(model_writer(target, tmp_path, toy)[0])
        return backend

    yield open_toy
    backend.close()


@pytest.fixture
def backend(opener: Any, toy: Any) -> Backend:
    return opener(toy)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_outputs_are_those_of_numpy(backend: Backend, toy: Any, count: int) -> None:
    actual, expected = backend.run(toy.images(count)), toy.outputs(toy.images(count))
    for name in ("logits", "probabilities", "concept_probabilities"):
        np.testing.assert_allclose(getattr(actual, name), getattr(expected, name), atol=1e-5)
        assert getattr(actual, name).dtype == np.float32


def test_colour_images_keep_their_channels_apart(opener: Any, rgb_toy: Any) -> None:
    images = rgb_toy.images()
    actual = opener(rgb_toy).run(images).probabilities
    np.testing.assert_allclose(actual, rgb_toy.outputs(images).probabilities, atol=1e-5)


def test_without_axes_the_concept_probabilities_are_empty(opener: Any, flat_toy: Any) -> None:
    outputs = opener(flat_toy).run(flat_toy.images(3))
    assert outputs.concept_probabilities.shape == (3, 0)
    assert outputs.concept_probabilities.dtype == np.float32


def test_the_outputs_of_one_run_survive_the_next(backend: Backend, toy: Any) -> None:
    images = toy.images(2)
    first = backend.run(images[:1]).probabilities
    kept = first.copy()
    backend.run(images[1:])
    assert np.array_equal(first, kept)


def test_one_image_gives_the_row_of_its_batch(backend: Backend, toy: Any) -> None:
    images = toy.images(4)
    expected = np.concatenate(toy.outputs(images), axis=1)
    for image, row in zip(images, expected, strict=True):
        np.testing.assert_allclose(np.frombuffer(backend.run_one(image), np.float32), row, atol=1e-5)


def test_one_image_may_lack_its_only_channel_and_be_strided(backend: Backend, toy: Any) -> None:
    image = toy.images(1)[0]
    mirrored = np.ascontiguousarray(image[::-1, ::-1])
    first = backend.run_one(image)
    backend.run_one(mirrored)
    assert backend.run_one(image[..., 0]) == first
    assert backend.run_one(mirrored[::-1, ::-1]) == first
    assert backend.run_one(image.view(np.memmap)) == first


def test_one_colour_image_keeps_its_channels_apart(opener: Any, rgb_toy: Any) -> None:
    images, backend = rgb_toy.images(), opener(rgb_toy)
    rows = [np.frombuffer(backend.run_one(image), np.float32) for image in images]
    np.testing.assert_allclose(rows, np.concatenate(rgb_toy.outputs(images), axis=1), atol=1e-5)


def test_one_image_without_axes_gives_logits_and_probabilities(opener: Any, flat_toy: Any) -> None:
    image = flat_toy.images(1)[0]
    row = np.frombuffer(opener(flat_toy).run_one(image), np.float32)
    np.testing.assert_allclose(row, np.concatenate(flat_toy.outputs(image[None]), axis=1)[0], atol=1e-5)


def test_batches_and_single_images_do_not_disturb_each_other(backend: Backend, toy: Any) -> None:
    images = toy.images(6)
    expected = np.concatenate(toy.outputs(images), axis=1)
    for start in range(5):
        np.testing.assert_allclose(
            np.frombuffer(backend.run_one(images[start]), np.float32), expected[start], atol=1e-5
        )
        batch = np.concatenate(backend.run(images[start:]), axis=1)
        np.testing.assert_allclose(batch, expected[start:], atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_batch_over_the_limit_is_split(
    backend: Backend, toy: Any, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    run = backend._run
    monkeypatch.setattr(backend, "max_batch", 3)
    monkeypatch.setattr(backend, "_run", lambda images: (sizes.append(len(images)), run(images))[1])
    backend.run_one(toy.images(1)[0])
    sizes.clear()
    outputs = backend.run(toy.images(count))
    np.testing.assert_allclose(outputs.probabilities, toy.outputs(toy.images(count)).probabilities, atol=1e-5)
    assert max(sizes, default=1) <= 3


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5, 1), np.float32), "expected dtype uint8, got float32. Give pixels from 0 to 255"),
        (np.full((4, 5), np.nan), "got float64. Give pixels from 0 to 255, not normalised: image.astype(np.uint8)"),
        (np.zeros((4, 5), bool), "got bool. Give pixels from 0 to 255; the model normalises them"),
        (np.zeros((4, 5, 3), np.uint8), "expected shape (4, 5, 1), got (4, 5, 3)"),
        (np.zeros((5, 4, 1), np.uint8), "expected shape (4, 5, 1), got (5, 4, 1)"),
        (np.zeros((20,), np.uint8), "expected shape (4, 5, 1), got (20,)"),
        ([[0]], "expected a path or a uint8 array, got list"),
    ],
)
@pytest.mark.parametrize("bound", [False, True])
def test_one_image_that_does_not_fit_is_refused(
    backend: Backend, toy: Any, image: Any, message: str, bound: bool
) -> None:
    if bound:
        backend.run_one(toy.images(1)[0])
    with pytest.raises(InputError) as caught:
        backend.run_one(image)
    assert message in str(caught.value)


def test_strided_and_read_only_images_are_taken(backend: Backend, toy: Any) -> None:
    images = toy.images(6)[::2]
    images.flags.writeable = False
    expected = toy.outputs(images).probabilities
    np.testing.assert_allclose(backend.run(images).probabilities, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 4, 5, 1), np.float32), "expected a uint8 array (N, 4, 5, 1), got dtype float32"),
        (np.full((1, 4, 5, 1), np.nan), "got dtype float64"),
        (np.zeros((1, 4, 5, 1), np.int8), "got dtype int8"),
        (np.zeros((1, 4, 5, 3), np.uint8), "got shape (1, 4, 5, 3)"),
        (np.zeros((1, 5, 4, 1), np.uint8), "got shape (1, 5, 4, 1)"),
        (np.zeros((1, 1, 4, 5), np.uint8), "got shape (1, 1, 4, 5)"),
        (np.zeros((4, 5, 1), np.uint8), "got shape (4, 5, 1)"),
        (np.zeros((0, 4, 5, 1), np.uint8), "with N >= 1, got an empty batch"),
        ([[0]], "got list"),
    ],
)
def test_other_inputs_are_refused(backend: Backend, images: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        backend.run(images)
    assert message in str(caught.value)


def test_a_closed_backend_says_so(backend: Backend, toy: Any) -> None:
    backend.run_one(toy.images()[0])
    backend.close()
    backend.close()
    with pytest.raises(ClosedModelError, match="expected an open model on .*, got a closed one"):
        backend.run(toy.images())
    with pytest.raises(ClosedModelError, match="expected an open model on .*, got a closed one"):
        backend.run_one(toy.images()[0])


def test_a_backend_can_be_opened_again(backend: Backend, opener: Any, toy: Any) -> None:
    backend.close()
    assert len(opener(toy).run(toy.images(1)).logits) == 1


def test_another_model_in_its_place_answers_from_then_on(backend: Backend, opener: Any, toy: Any, rgb_toy: Any) -> None:
    backend.run_one(toy.images(1)[0])
    image = rgb_toy.images(1)[0]
    row = np.frombuffer(opener(rgb_toy).run_one(image), np.float32)
    np.testing.assert_allclose(row, np.concatenate(rgb_toy.outputs(image[None]), axis=1)[0], atol=1e-5)
    with pytest.raises(InputError):
        backend.run_one(toy.images(1)[0])


def test_no_threads_at_all_are_refused(target: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="threads: expected a number >= 1, got 0"):
        backend_class(target)().open(tmp_path / "model", threads=0)


def test_the_version_is_a_version(backend: Backend) -> None:
    assert backend.version()[0].isdigit()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("content", [b"", b"not a model", b"<?xml version='1.0'?><net>"])
def test_a_file_that_is_no_model_is_refused(runtime: str, tmp_path: Path, content: bytes) -> None:
    pytest.importorskip(runtime)
    path = tmp_path / ("model.onnx" if runtime == "onnxruntime" else "model.xml")
    path.write_bytes(content)
    with pytest.raises(BundleError, match="expected a model for .*, which refuses it") as caught:
        backend_class(runtime)().open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_missing_file_is_refused(runtime: str, tmp_path: Path) -> None:
    pytest.importorskip(runtime)
    with pytest.raises(BundleError, match="which refuses it"):
        backend_class(runtime)().open(tmp_path / "model.xml")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": "pixels"}, "expected one input 'images' of uint8, got {'pixels': 'uint8'}"),
        ({"output": "odds"}, "expected the outputs logits, probabilities and perhaps concept_probabilities"),
        (
            {"batch": 1},
            "expected an input of shape (batch, H, W, C) with only the batch open, got (1, 4, 5, 1)",
        ),
        ({"height": "height"}, "got ('?', '?', 5, 1)"),
    ],
)
def test_a_model_that_breaks_the_contract_is_refused(
    runtime: str, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    pytest.importorskip(runtime)
    path = _small_onnx(tmp_path / "model.onnx", **change)
    with pytest.raises(BundleError) as caught:
        backend_class(runtime)().open(path)
    assert message in str(caught.value)


def _small_onnx(
    path: Path, *, input: str = "images", output: str = "logits", batch: Any = "batch", height: Any = 4
) -> Path:
    """Mean over the pixels; both runtimes read the .onnx file itself."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", [input], ["float"], to=kinds.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], [output], keepdims=0),
        helper.make_node("Softmax", [output], ["probabilities"]),
    ]
    axes = onnx.numpy_helper.from_array(np.array([1, 2]), "axes")
    shape = [batch, height, 5, 1]
    inputs = [helper.make_tensor_value_info(input, kinds.UINT8, shape)]
    outputs = [helper.make_tensor_value_info(name, kinds.FLOAT, [batch, 1]) for name in (output, "probabilities")]
    graph = helper.make_graph(nodes, "small", inputs, outputs, [axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_an_unknown_backend_names_the_nearest() -> None:
    with pytest.raises(MissingBackendError, match="got 'onnxruntme'. Did you mean 'onnxruntime'?"):
        backend_class("onnxruntme")


@pytest.mark.parametrize(("alias", "name"), [("ort", "onnxruntime"), ("onnx", "onnxruntime"), ("ov", "openvino")])
def test_an_alias_is_the_backend_itself(alias: str, name: str) -> None:
    assert backend_class(alias) is backend_class(name)
    assert backend_class(alias).name == name


@pytest.mark.parametrize(
    ("runtime", "command"),
    [("onnxruntime", 'pip install "onnxruntime!=1.21.0"'), ("openvino", 'pip install "openvino"')],
)
def test_a_missing_runtime_names_its_pip_command(
    runtime: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, runtime, None)
    assert not backend_class(runtime).is_installed()
    with pytest.raises(MissingBackendError) as caught:
        backend_class(runtime)().open(tmp_path / "model")
    assert command in str(caught.value)


def test_the_onnxruntime_that_crashes_on_arm_is_refused_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.21.0")
    with pytest.raises(MissingBackendError, match="expected another onnxruntime than 1.21.0"):
        backend_class("onnxruntime")().open(tmp_path / "model.onnx")


def test_openvino_computes_in_fp32_with_one_stream(
    tmp_path: Path, toy: Any, model_writer: Callable[..., tuple[Path, ...]]
) -> None:
    xml = model_writer("openvino", tmp_path, toy)[0]
    backend: Any = backend_class("openvino")()
    backend.open(xml)
    compiled = backend._compile(backend._model)
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("NUM_STREAMS") == 1
