"""Streams: order, overlap, bounds, errors and early ends; the fake backend answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hkd_edge_runtime import ClosedModelError, InputError, Model, load


@pytest.fixture
def model(bundle: Path) -> Iterator[Model]:
    with load(bundle) as opened:
        yield opened


def stream_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hkd-edge-stream"]


class Source:
    """Gives images, and counts how many were taken; raises `error` after the last."""

    def __init__(self, images: np.ndarray, count: int, error: Exception | None = None) -> None:
        self.images, self.count, self.error, self.taken, self.closed = images, count, error, 0, False

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            for index in range(self.count):
                self.taken += 1
                yield self.images[index % len(self.images)]
            if self.error:
                raise self.error
        finally:
            self.closed = True


@pytest.mark.parametrize("batch_size", [1, 2, 5, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_a_stream_gives_the_answers_in_order(model: Model, toy: Any, batch_size: int, count: int) -> None:
    images = np.resize(toy.images(), (count, *toy.spec.shape))
    answers = list(model.stream(iter(images), batch_size=batch_size))
    expected = [model.predict(image) for image in images]
    assert [answer.index for answer in answers] == [answer.index for answer in expected]
    np.testing.assert_allclose([a.score for a in answers], [a.score for a in expected], rtol=1e-6)
    assert not stream_threads()


def test_paths_and_arrays_may_be_mixed(model: Model, toy: Any, tmp_path: Path) -> None:
    image = toy.images(1)[0]
    Image.fromarray(image[..., 0]).save(tmp_path / "image.png")
    answers = list(model.stream([tmp_path / "image.png", str(tmp_path / "image.png"), image, image[..., 0]]))
    assert len({answer.score for answer in answers}) == 1
    assert len(answers) == 4


@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_error_of_the_source_comes_after_the_answers_before_it(model: Model, toy: Any, batch_size: int) -> None:
    stream = model.stream(Source(toy.images(), 4, OSError("the camera is gone")), batch_size=batch_size)
    assert len([next(stream) for _ in range(4)]) == 4
    with pytest.raises(OSError, match="the camera is gone"):
        next(stream)
    assert not stream_threads()


def test_an_image_that_does_not_fit_comes_as_an_error_in_its_place(model: Model, toy: Any) -> None:
    good, bad = toy.images(1)[0], np.zeros((9, 9), np.uint8)
    stream = model.stream([good, good, bad, good], batch_size=4)
    assert next(stream).label
    assert next(stream).label
    with pytest.raises(InputError, match="got \\(9, 9, 1\\)"):
        next(stream)


def test_a_source_is_taken_only_a_few_batches_ahead(model: Model, toy: Any) -> None:
    source = Source(toy.images(), 1000)
    stream = model.stream(source, batch_size=2)
    next(stream)
    time.sleep(0.2)
    # The batch that is answered, one that waits, and one that is ready and waits for the place.
    assert source.taken <= 3 * 2
    stream.close()  # type: ignore[attr-defined]


def test_a_stream_that_is_left_early_stops_and_closes_its_source(model: Model, toy: Any) -> None:
    source = Source(toy.images(), 1000)
    stream = model.stream(source)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    taken = source.taken
    assert source.closed
    assert not stream_threads()
    time.sleep(0.1)
    assert source.taken == taken


def test_a_stream_that_is_never_begun_takes_nothing(model: Model, toy: Any) -> None:
    source = Source(toy.images(), 3)
    model.stream(source)
    assert source.taken == 0
    assert not stream_threads()


def test_the_next_images_are_prepared_while_one_is_answered(
    model: Model, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause_s, count = 0.02, 10
    images, run = toy.images(), model.run

    def slow_source() -> Iterator[np.ndarray]:
        for index in range(count):
            time.sleep(pause_s)
            yield images[index % len(images)]

    monkeypatch.setattr(model, "run", lambda batch: (time.sleep(pause_s), run(batch))[1])
    started = time.perf_counter()
    assert len(list(model.stream(slow_source()))) == count
    # One after the other would take 2 * count pauses.
    assert time.perf_counter() - started < 1.7 * count * pause_s


def test_a_source_that_hangs_does_not_hang_the_end(model: Model, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hkd_edge_runtime.stream.STOP_S", 0.1)
    release = threading.Event()

    def hanging() -> Iterator[np.ndarray]:
        yield toy.images()[0]
        release.wait(10)

    stream = model.stream(hanging())
    next(stream)
    started = time.perf_counter()
    stream.close()  # type: ignore[attr-defined]
    assert time.perf_counter() - started < 2
    release.set()


def test_the_model_may_be_used_between_the_answers(model: Model, toy: Any) -> None:
    images = toy.images()
    for answer, image in zip(model.stream(images), images, strict=True):
        assert answer.label == model.predict(image).label


def test_a_stream_of_a_closed_model_says_so(model: Model, toy: Any) -> None:
    model.close()
    with pytest.raises(ClosedModelError):
        next(model.stream(toy.images()))


def test_an_empty_batch_size_is_refused_at_once(model: Model, toy: Any) -> None:
    with pytest.raises(ValueError, match="batch_size: expected a number >= 1, got 0"):
        model.stream(toy.images(), batch_size=0)


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_a_runtime_streams_what_it_predicts(target: str, bundle_maker: Callable[..., Path], toy: Any) -> None:
    images = toy.images(5)
    with load(bundle_maker({"target": target})) as model:
        scores = [answer.score for answer in model.stream(images, batch_size=2)]
        np.testing.assert_allclose(scores, [model.predict(image).score for image in images], rtol=1e-5)
