"""A bundle with a TensorRT artefact on a board: the stand-ins build its engine, and the golden images decide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hkd_edge_runtime import BundleError, load
from hkd_edge_runtime.__main__ import main
from hkd_edge_runtime.manifest import manifest_from_dict, manifest_to_dict, read_manifest
from hkd_edge_runtime.tensorrt import installed
from hkd_edge_runtime.tensorrt.record import BatchProfile
from hkd_edge_runtime.verify import verify_bundle
from tests.runtime.conftest import Toy

BUILT = {"target": "tensorrt", "shipped": False, "reason": "not run on a GPU yet", "profile": BatchProfile(1, 2, 4)}


@pytest.fixture
def folder(bundle_maker: Callable[..., Path]) -> Path:
    return bundle_maker({}, BUILT)


def test_the_target_by_name_opens_it_with_the_batches_of_the_manifest(
    board: ModuleType, folder: Path, toy: Toy, engines: Path
) -> None:
    images = toy.images(6)
    with load(folder, "trt") as model:
        assert model.artefact.title == "tensorrt fp32"
        np.testing.assert_array_equal(model.run(images).probabilities, toy.outputs(images).probabilities)
    assert board.seen.profile[3] == (4, 4, 5, 1)
    assert len(list(engines.glob("*-fp32-*.plan"))) == 1


def test_auto_does_not_take_what_nobody_validated(board: ModuleType, folder: Path) -> None:
    with load(folder) as model:
        assert model.artefact.target == "fake"
    assert board.seen.builds == 0


def test_golden_images_decide(board: ModuleType, bundle_maker: Callable[..., Path]) -> None:
    folder = bundle_maker(BUILT, golden_shift=0.01)
    with pytest.raises(BundleError, match=r"tensorrt fp32: expected the golden .* on tensorrt 10\.3\.0"):
        load(folder, "tensorrt")


def test_verify_checks_it_where_it_runs_and_says_why_where_not(
    board: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [each.target for each in verify_bundle(folder).checked] == ["fake", "tensorrt"]
    monkeypatch.setattr(installed, "current_gpu", lambda: None)
    report = verify_bundle(folder)
    assert [each.target for each in report.checked] == ["fake"]
    assert report.skipped == (
        ("tensorrt fp32", "TensorRT found, but no NVIDIA GPU (or no driver for it). Take another target here."),
    )


def test_info_says_why_it_does_not_run_here(
    board: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installed, "current_gpu", lambda: None)
    assert main(["info", str(folder)]) == 0
    assert "not here: TensorRT found, but no NVIDIA GPU" in capsys.readouterr().out


def test_the_command_line_tells_of_the_build(
    board: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(folder)]) == 0
    assert "building an engine for Orin" in capsys.readouterr().err


def test_the_profile_is_an_optional_key_of_the_manifest(folder: Path) -> None:
    data = manifest_to_dict(read_manifest(folder))
    assert ["profile" in each for each in data["artefacts"]] == [False, True]
    assert manifest_to_dict(manifest_from_dict(data)) == data
    for wrong, message in (
        ({"min": 4, "opt": 2, "max": 8}, "expected 1 <= min <= opt <= max"),
        ({"min": 1, "opt": 2}, "artefacts.1..profile.max: missing"),
        (None, "artefacts.1..profile: expected a mapping, got None"),
    ):
        data["artefacts"][1]["profile"] = wrong
        with pytest.raises(BundleError, match=message):
            manifest_from_dict(data)
