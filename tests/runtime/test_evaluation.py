from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hkd_edge_runtime.errors import BundleError, ClosedModelError, InputError
from hkd_edge_runtime.evaluation import concept_accuracy_percent, evaluate, read_evaluation
from hkd_edge_runtime.hierarchy import Axis, Hierarchy
from hkd_edge_runtime.manifest import file_entry, read_manifest, write_manifest
from hkd_edge_runtime.session import load


def put_evaluation(folder: Path, **arrays: Any) -> None:
    np.savez(folder / "evaluation.npz", **arrays)
    write_manifest(folder, replace(read_manifest(folder), evaluation=file_entry(folder, "evaluation.npz")))


def many_images(toy: Any) -> np.ndarray:
    """200 toy images, more than one batch."""
    return np.tile(toy.images(20), (10, 1, 1, 1))


@pytest.fixture
def evaluated(bundle: Path, toy: Any) -> Path:
    """A bundle with an evaluation subset of 200 toy images, the first of which has another label than its answer."""
    images = many_images(toy)
    labels = toy.outputs(images).probabilities.argmax(axis=1)
    labels[0] = (labels[0] + 1) % 4
    put_evaluation(bundle, images=images, labels=labels)
    return bundle


def test_a_bundle_without_an_evaluation_subset_has_none(bundle: Path) -> None:
    assert read_evaluation(bundle, read_manifest(bundle)) is None


def test_the_evaluation_subset_is_read_as_it_was_written(evaluated: Path, toy: Any) -> None:
    subset = read_evaluation(evaluated, read_manifest(evaluated))
    assert subset is not None
    assert np.array_equal(subset.images, many_images(toy))
    assert (subset.labels.dtype, subset.labels.shape) == (np.int64, (200,))


def test_the_evaluation_file_is_checked_like_every_other(evaluated: Path) -> None:
    content = bytearray((evaluated / "evaluation.npz").read_bytes())
    content[200] ^= 1
    (evaluated / "evaluation.npz").write_bytes(content)
    with pytest.raises(BundleError, match="evaluation.npz: expected SHA-256"):
        load(evaluated)


def test_the_accuracy_counts_right_answers_over_all_batches(evaluated: Path, toy: Any) -> None:
    subset = read_evaluation(evaluated, read_manifest(evaluated))
    assert subset is not None
    with load(evaluated) as model:
        accuracy = evaluate(model, subset.images, subset.labels)
    masses = toy.outputs(subset.images).concept_probabilities
    assert (accuracy.images, accuracy.top1) == (200, 99.5)
    assert accuracy.concepts == concept_accuracy_percent(masses, subset.labels, toy.hierarchy)


def test_concepts_are_judged_where_the_axis_speaks() -> None:
    hierarchy = Hierarchy(
        ("cat", "dog", "cup"), (Axis("size", ("small", "large"), (0, 1, -1)), Axis("legs", ("four",), (0, 0, -1)))
    )
    masses = np.array([[0.75, 0.25, 0.5], [0.75, 0.25, 0.5], [0.25, 0.75, 0.5]], np.float32)
    assert concept_accuracy_percent(masses, np.array([0, 1, 2]), hierarchy) == {"size": 50.0, "legs": 100.0}
    assert concept_accuracy_percent(masses[2:], np.array([2]), hierarchy) == {}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((2, 4, 5, 1), np.uint8)}, "expected the array 'labels', got ['images']"),
        (
            {"images": np.zeros((2, 4, 5, 1), np.uint8), "labels": np.zeros(3, np.int64)},
            "labels: expected int64 (2) with G >= 1, got int64 (3,)",
        ),
        (
            {"images": np.zeros((2, 4, 5, 1), np.uint8), "labels": np.zeros(2, np.int32)},
            "labels: expected int64 (2) with G >= 1, got int32 (2,)",
        ),
        (
            {"images": np.zeros((2, 4, 5, 1), np.uint8), "labels": np.array([0, 4])},
            "labels: expected indices from 0 to 3, got 0 to 4",
        ),
        (
            {"images": np.zeros((2, 4, 5, 1), np.uint8), "labels": np.array([-1, 3])},
            "labels: expected indices from 0 to 3, got -1 to 3",
        ),
        ({"images": np.zeros((2, 5, 4, 1), np.uint8)}, "images: expected uint8 (G, 4, 5, 1)"),
        ({"images": np.array([None]), "labels": np.zeros(1, np.int64)}, "expected arrays of numbers"),
    ],
)
def test_an_evaluation_file_of_another_content_is_refused(bundle: Path, arrays: dict[str, Any], message: str) -> None:
    put_evaluation(bundle, **arrays)
    with pytest.raises(BundleError) as caught:
        read_evaluation(bundle, read_manifest(bundle))
    assert message in str(caught.value)


def test_labels_that_do_not_fit_the_images_or_the_model_are_refused(bundle: Path, toy: Any) -> None:
    with load(bundle) as model:
        for labels in (np.zeros(5, np.int64), np.full(6, 4), np.full(6, -1)):
            with pytest.raises(ValueError, match="labels: expected 6 indices from 0 to 3, one for each image"):
                evaluate(model, toy.images(), labels)


def test_images_that_do_not_fit_the_model_are_refused(bundle: Path) -> None:
    with load(bundle) as model:
        with pytest.raises(InputError, match="got dtype float64"):
            evaluate(model, np.zeros((1, 4, 5, 1)), np.zeros(1, np.int64))  # type: ignore[arg-type]
        with pytest.raises(InputError, match="got an empty batch"):
            evaluate(model, np.zeros((0, 4, 5, 1), np.uint8), np.zeros(0, np.int64))


def test_a_closed_model_is_not_evaluated(bundle: Path, toy: Any) -> None:
    model = load(bundle)
    model.close()
    with pytest.raises(ClosedModelError):
        evaluate(model, toy.images(), np.zeros(6, np.int64))
