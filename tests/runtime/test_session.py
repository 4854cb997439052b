from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hkd_edge_runtime import BundleError, ClosedModelError, InputError, MissingBackendError, Model, load
from hkd_edge_runtime.backends import Backend
from hkd_edge_runtime.files import sha256_file


@pytest.fixture(params=["fake", "onnxruntime", "openvino"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_image_gets_the_answer_that_numpy_gives(target: str, bundle_maker: Callable[..., Path], toy: Any) -> None:
    image = toy.images(1)[0]
    expected = toy.outputs(image[None])
    with load(bundle_maker({"target": target})) as model:
        answer = model.predict(image)
    assert answer.label == model.labels[expected.probabilities[0].argmax()]
    np.testing.assert_allclose(answer.probabilities, expected.probabilities[0], atol=1e-5)
    assert set(answer.concepts) == {"kind", "size"}


def test_a_file_and_its_pixels_get_the_same_answer(bundle: Path, toy: Any, tmp_path: Path) -> None:
    image = toy.images(1)[0]
    Image.fromarray(image[..., 0]).save(tmp_path / "image.png")
    with load(bundle) as model:
        answers = [model.predict(source) for source in (tmp_path / "image.png", image, image[..., 0])]
    assert len({answer.score for answer in answers}) == 1


def test_a_batch_gets_the_answers_of_its_images(target: str, bundle_maker: Callable[..., Path], toy: Any) -> None:
    images = toy.images(5)
    with load(bundle_maker({"target": target})) as model:
        batch, singles = model.predict_batch(images), [model.predict(image) for image in images]
    assert [answer.label for answer in batch] == [answer.label for answer in singles]
    np.testing.assert_allclose([a.score for a in batch], [a.score for a in singles], atol=1e-6)


def test_a_batch_of_arrays_and_paths_is_taken(bundle: Path, toy: Any, tmp_path: Path) -> None:
    image = toy.images(1)[0]
    Image.fromarray(image[..., 0]).save(tmp_path / "image.png")
    with load(bundle) as model:
        first, second = model.predict_batch([str(tmp_path / "image.png"), image])
    assert first.score == second.score


def test_colour_and_no_axes_work_as_well(bundle_maker: Callable[..., Path], rgb_toy: Any) -> None:
    with load(bundle_maker(toy=rgb_toy)) as model:
        assert model.predict(rgb_toy.images(1)[0]).label in model.labels


def test_without_axes_an_answer_has_no_concepts(bundle_maker: Callable[..., Path], flat_toy: Any) -> None:
    with load(bundle_maker(toy=flat_toy)) as model:
        assert model.predict(flat_toy.images(1)[0]).concepts == {}


def test_the_model_says_what_it_opened(bundle_maker: Callable[..., Path]) -> None:
    with load(bundle_maker({"metrics": {"p50_ms": 2.0}}, {"precision": "int8", "metrics": {"p50_ms": 1.0}})) as model:
        assert (model.artefact.target, model.artefact.precision) == ("fake", "int8")
        assert model.manifest.name == "pets"


def test_what_is_not_shipped_is_opened_by_name_alone(bundle_maker: Callable[..., Path]) -> None:
    folder = bundle_maker({}, {"precision": "int8", "shipped": False, "reason": "slower than fp32"})
    with load(folder, "fake", "int8") as model:
        assert model.artefact.precision == "int8"
    with pytest.raises(BundleError, match="slower than fp32"):
        load(folder, precision="int8")


def test_a_closed_model_says_so(bundle: Path, toy: Any) -> None:
    model = load(bundle)
    model.close()
    model.close()
    with pytest.raises(ClosedModelError, match="Open it again"):
        model.predict(toy.images(1)[0])
    with pytest.raises(RuntimeError):
        model.predict_batch(toy.images())


@pytest.mark.parametrize("image", [np.zeros((4, 5), np.float32), np.zeros((9, 9), np.uint8), 7, "nowhere.png"])
def test_a_wrong_image_is_refused(bundle: Path, image: Any) -> None:
    with load(bundle) as model, pytest.raises(InputError):
        model.predict(image)


def test_an_empty_batch_is_refused(bundle: Path) -> None:
    with load(bundle) as model, pytest.raises(InputError, match="empty batch"):
        model.predict_batch([])


def test_a_damaged_file_is_refused_even_without_verify(bundle: Path) -> None:
    path = bundle / "artefacts/fake-fp32/model.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(BundleError, match="expected SHA-256 .* Copy the bundle again"):
        load(bundle, verify=False)


def test_golden_answers_out_of_tolerance_are_refused(bundle_maker: Callable[..., Path]) -> None:
    folder = bundle_maker(golden_shift=0.01)
    with pytest.raises(BundleError, match="fake fp32: expected the golden probabilities to within 1e-05"):
        load(folder)
    load(folder, verify=False).close()


def test_golden_answers_within_tolerance_are_taken(bundle_maker: Callable[..., Path]) -> None:
    load(bundle_maker({"precision": "int8"}, golden_shift=0.01)).close()


def test_a_failed_check_closes_the_backend(
    bundle_maker: Callable[..., Path], fake_backend: type[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    monkeypatch.setattr(fake_backend, "close", lambda self: closed.append(self))
    with pytest.raises(BundleError):
        load(bundle_maker(golden_shift=0.5))
    assert len(set(closed)) == 1


def test_a_model_of_another_size_than_the_manifest_is_refused(
    bundle_maker: Callable[..., Path], toy: Any, rgb_toy: Any
) -> None:
    folder = bundle_maker({"toy": rgb_toy}, toy=toy)
    with pytest.raises(BundleError, match=r"expected images of \(4, 5, 1\) .* the file takes \(4, 5, 3\)"):
        load(folder)


def test_a_model_of_other_concepts_than_the_manifest_is_refused(
    bundle_maker: Callable[..., Path], toy: Any, flat_toy: Any
) -> None:
    folder = bundle_maker({"toy": flat_toy}, toy=toy)
    with pytest.raises(BundleError, match="expected logits, probabilities and concept probabilities of"):
        load(folder)


def test_a_target_of_a_later_version_is_refused_by_name(bundle_maker: Callable[..., Path]) -> None:
    folder = bundle_maker({}, {"target": "of_tomorrow"})
    load(folder).close()
    with pytest.raises(MissingBackendError, match="expected a backend out of .*, got 'of_tomorrow'"):
        load(folder, "of_tomorrow", "fp32")


def test_no_threads_at_all_are_refused(bundle: Path) -> None:
    with pytest.raises(ValueError, match="threads: expected a number >= 1, got 0"):
        load(bundle, threads=0)


def test_a_folder_and_its_archive_have_the_digest_of_the_manifest(bundle: Path, packed: Callable[[Path], Path]) -> None:
    for path in (bundle, packed(bundle)):
        with load(path) as model:
            assert model.digest == sha256_file(bundle / "manifest.json")


def test_an_answer_does_not_change_when_the_next_image_is_predicted(
    target: str, bundle_maker: Callable[..., Path], toy: Any
) -> None:
    first, second = toy.images(2)
    with load(bundle_maker({"target": target})) as model:
        kept = model.predict(first)
        other = model.predict(second)
        assert kept.to_dict() == model.predict(first).to_dict() != other.to_dict()


def test_the_documented_method_is_what_a_model_does(bundle: Path, toy: Any) -> None:
    image = toy.images(1)[0]
    with load(bundle) as model:
        assert Model.predict(model, image).to_dict() == model.predict(image).to_dict()


def test_a_model_that_nobody_holds_is_freed_at_once(bundle: Path) -> None:
    gone = weakref.ref(load(bundle))
    assert gone() is None
