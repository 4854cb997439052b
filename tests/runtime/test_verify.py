from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hkd_edge_runtime.backends import Backend
from hkd_edge_runtime.errors import BundleError, MissingBackendError
from hkd_edge_runtime.verify import verify_bundle


def test_every_artefact_is_compared_shipped_or_not(bundle_maker: Callable[..., Path]) -> None:
    report = verify_bundle(bundle_maker({}, {"precision": "int8", "shipped": False, "reason": "slow"}))
    assert [(each.precision, each.images) for each in report.checked] == [("fp32", 6), ("int8", 6)]
    assert report.files == 3
    assert all(each.max_difference <= each.tolerance for each in report.checked)
    assert report.skipped == ()


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_the_real_runtimes_agree_with_numpy(bundle_maker: Callable[..., Path], target: str) -> None:
    (result,) = verify_bundle(bundle_maker({"target": target})).checked
    assert result.max_difference < 1e-5


def test_what_cannot_run_here_is_named(bundle_maker: Callable[..., Path]) -> None:
    report = verify_bundle(bundle_maker({}, {"target": "of_tomorrow"}))
    assert [name for name, _ in report.skipped] == ["of_tomorrow fp32"]
    assert "Upgrade hkd-edge-runtime" in report.skipped[0][1]


def test_comparing_nothing_is_no_success(
    bundle: Path, fake_backend: type[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_backend, "package", "no_such_package")
    with pytest.raises(MissingBackendError, match='pets: expected a runtime for fake .* pip install "fake-runtime"'):
        verify_bundle(bundle)


def test_an_artefact_that_is_not_shipped_fails_verify_too(bundle_maker: Callable[..., Path]) -> None:
    folder = bundle_maker({"precision": "int8"}, {"shipped": False}, golden_shift=0.01)
    with pytest.raises(BundleError, match="fake fp32: expected the golden probabilities"):
        verify_bundle(folder)
