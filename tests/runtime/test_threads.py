"""The rule for threads: one model each, or a lock around one; anything else is refused, never mixed up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hkd_edge_runtime import BusyModelError, ClosedModelError, InputError, Model, load
from hkd_edge_runtime.backends import Outputs

THREADS = 8
ROUNDS = 50


@pytest.fixture(params=["fake", "onnxruntime", "openvino"])
def folder(request: pytest.FixtureRequest, bundle_maker: Callable[..., Path]) -> Path:
    return bundle_maker({"target": request.param})


def scores(model: Model, images: np.ndarray, guard: Any) -> list[float]:
    found = []
    for index in range(ROUNDS):
        with guard:
            answer = model.predict(images[index % len(images)])
        found.append(answer.score)
    return found


def one_after_the_other(folder: Path, images: np.ndarray) -> list[float]:
    with load(folder) as model:
        return scores(model, images, threading.Lock())


def test_eight_threads_with_a_model_each_get_the_answers_of_one(folder: Path, toy: Any) -> None:
    images = toy.images()

    def work(_: int) -> list[float]:
        return one_after_the_other(folder, images)

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(work, range(THREADS)))
    assert found == [one_after_the_other(folder, images)] * THREADS


def test_eight_threads_with_a_lock_get_the_answers_of_one(folder: Path, toy: Any) -> None:
    images, lock = toy.images(), threading.Lock()
    with load(folder) as model, ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda _: scores(model, images, lock), range(THREADS)))
    assert found == [one_after_the_other(folder, images)] * THREADS


def test_threads_without_a_lock_get_right_answers_or_an_error(folder: Path, toy: Any) -> None:
    images = toy.images()
    expected = one_after_the_other(folder, images)[: len(images)]
    wrong: list[tuple[float, float]] = []
    answered = 0

    def work(model: Model) -> None:
        nonlocal answered
        for index in range(4 * ROUNDS):
            try:
                score = model.predict(images[index % len(images)]).score
            except BusyModelError:
                continue
            answered += 1
            if score != expected[index % len(images)]:
                wrong.append((score, expected[index % len(images)]))

    with load(folder) as model, ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: work(model), range(THREADS)))
    assert answered > 0
    assert wrong == []


class Paused:
    """Holds a model in the middle of a run, in another thread."""

    def __init__(self, model: Model, image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()
        run: Callable[[np.ndarray], Outputs] = model._backend._run

        def pausing(images: np.ndarray) -> Outputs:
            self.inside.set()
            assert self.go_on.wait(10)
            return run(images)

        monkeypatch.setattr(model._backend, "_run", pausing)
        self.thread = threading.Thread(target=model.predict, args=(image,))

    def __enter__(self) -> None:
        self.thread.start()
        assert self.inside.wait(10)

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self.thread.join()


@pytest.mark.parametrize("use", ["predict", "predict_batch", "stream", "run", "close"])
def test_a_second_thread_is_told_what_to_do(bundle: Path, toy: Any, use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = toy.images()
    with load(bundle) as model:
        uses: dict[str, Callable[[], object]] = {
            "predict": lambda: model.predict(images[0]),
            "predict_batch": lambda: model.predict_batch(images),
            "stream": lambda: list(model.stream(images)),
            "run": lambda: model.run(images),
            "close": model.close,
        }
        with Paused(model, images[0], monkeypatch), pytest.raises(BusyModelError, match="Load one model per thread"):
            uses[use]()
        assert model.predict(images[0]).label


def test_a_model_that_was_too_busy_to_close_can_be_closed_later(
    bundle: Path,
    packed: Callable[[Path], Path],
    toy: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = packed(bundle)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    model = load(file)
    unpacked = set(tmp_path.iterdir()) - before
    with Paused(model, toy.images()[0], monkeypatch), pytest.raises(BusyModelError):
        model.close()
    assert len(unpacked) == 1
    assert unpacked < set(tmp_path.iterdir())
    model.close()
    assert set(tmp_path.iterdir()) == before
    with pytest.raises(ClosedModelError):
        model.predict(toy.images()[0])


def test_an_error_leaves_the_model_free_for_the_next_call(folder: Path, toy: Any) -> None:
    with load(folder) as model:
        for _ in range(2):
            with pytest.raises(InputError):
                model.predict(np.zeros((3, 3), np.uint8))
        assert model.predict(toy.images()[0]).label
