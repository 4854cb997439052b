from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.golden import read_golden
from hkd_edge_runtime.manifest import file_entry, read_manifest, write_manifest
from hkd_edge_runtime.session import load


def test_the_golden_images_and_probabilities_are_read(bundle: Path, toy: Any) -> None:
    golden = read_golden(bundle, read_manifest(bundle))
    assert np.array_equal(golden.images, toy.images())
    expected = toy.outputs(toy.images()).probabilities
    assert np.array_equal(golden.probabilities["fake fp32"], expected)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("images", None, "expected the array 'images', got ['probabilities/fake/fp32']"),
        ("probabilities/fake/fp32", None, "expected the array 'probabilities/fake/fp32', got ['images']"),
        ("images", np.zeros((6, 4, 5, 1)), "images: expected uint8 (G, 4, 5, 1) with G >= 1, got float64"),
        ("images", np.zeros((0, 4, 5, 1), np.uint8), "with G >= 1, got uint8 (0, 4, 5, 1)"),
        ("images", np.uint8(0), "with G >= 1, got uint8 ()"),
        ("probabilities/fake/fp32", np.zeros((5, 4), np.float32), "expected float32 (6, 4) with G >= 1, got"),
        ("probabilities/fake/fp32", np.array([None]), "expected arrays of numbers: Object arrays cannot be"),
    ],
)
def test_a_golden_file_of_another_content_is_refused(bundle: Path, name: str, array: Any, message: str) -> None:
    with np.load(bundle / "golden.npz") as arrays:
        content = {each: arrays[each] for each in arrays.files if each != name}
    np.savez(bundle / "golden.npz", **(content if array is None else content | {name: array}))
    with pytest.raises(BundleError) as caught:
        read_golden(bundle, read_manifest(bundle))
    assert message in str(caught.value)


def test_a_golden_file_that_is_no_archive_is_refused(bundle: Path) -> None:
    with (bundle / "golden.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(BundleError, match="expected golden images as .npz, got another file"):
        read_golden(bundle, read_manifest(bundle))


def test_a_golden_probability_that_is_no_number_is_refused(bundle_maker: Callable[..., Path]) -> None:
    folder = bundle_maker(golden_shift=float("nan"))
    manifest = read_manifest(folder)
    golden = replace(manifest.golden, file=file_entry(folder, "golden.npz"), tolerance={"fp32": 1.0})
    write_manifest(folder, replace(manifest, golden=golden))
    with pytest.raises(BundleError, match="got a difference of nan on fake 1.0"):
        load(folder)
