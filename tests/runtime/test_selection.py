from __future__ import annotations

from pathlib import Path

import pytest

from hkd_edge_runtime.backends import Backend
from hkd_edge_runtime.errors import BundleError, MissingBackendError
from hkd_edge_runtime.hierarchy import Hierarchy
from hkd_edge_runtime.manifest import Artefact, FileEntry, Golden, InputSpec, Manifest
from hkd_edge_runtime.selection import select_artefact
from hkd_edge_runtime.tensorrt.record import BatchProfile

ENTRY = FileEntry("model", "0" * 64, 1)


def artefact(
    target: str = "fake",
    precision: str = "fp32",
    *,
    p50_ms: float | None = None,
    reason: str = "",
    profile: BatchProfile | None = None,
) -> Artefact:
    metrics = {} if p50_ms is None else {"p50_ms": p50_ms}
    return Artefact(target, precision, (ENTRY,), not reason, reason, metrics, profile=profile)


def choose(*artefacts: Artefact, target: str = "auto", precision: str = "auto") -> str:
    tolerance = {each.precision: 0.1 for each in artefacts}
    manifest = Manifest(
        "pets", "test", InputSpec(4, 5, 1), Hierarchy(("cat",)), artefacts, Golden(ENTRY, tolerance), {}, {}
    )
    return select_artefact(manifest, target, precision).title


@pytest.fixture(params=["onnxruntime", "openvino"])
def installed(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


@pytest.fixture
def fake_is_missing(fake_backend: type[Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_backend, "package", "no_such_package")


def test_auto_is_the_one_with_the_lowest_median_latency(installed: str) -> None:
    slow, fast = artefact(p50_ms=0.2), artefact(installed, "int8", p50_ms=0.1)
    assert choose(slow, fast) == f"{installed} int8"


def test_auto_prefers_a_measured_latency_to_none() -> None:
    assert choose(artefact(), artefact(precision="int8", p50_ms=9.0)) == "fake int8"


def test_among_equals_the_first_of_the_manifest_is_taken() -> None:
    assert choose(artefact(precision="int8"), artefact()) == "fake int8"


def test_auto_passes_over_what_is_not_shipped() -> None:
    assert choose(artefact(p50_ms=1.0), artefact(precision="int8", p50_ms=0.1, reason="top-1")) == "fake fp32"


@pytest.mark.usefixtures("fake_is_missing")
def test_auto_passes_over_what_is_not_installed(installed: str) -> None:
    assert choose(artefact(p50_ms=0.1), artefact(installed, p50_ms=1.0)) == f"{installed} fp32"


def test_auto_passes_over_targets_of_later_versions() -> None:
    assert choose(artefact("of_tomorrow", p50_ms=0.1), artefact(p50_ms=1.0)) == "fake fp32"


def test_one_name_narrows_the_choice() -> None:
    artefacts = artefact(p50_ms=1.0), artefact(precision="int8", p50_ms=0.1)
    assert choose(*artefacts, precision="fp32") == "fake fp32"
    assert choose(*artefacts, target="fake") == "fake int8"


def test_an_alias_names_its_target() -> None:
    assert choose(artefact(), artefact("onnxruntime"), target="ort", precision="fp32") == "onnxruntime fp32"


def test_both_names_open_what_is_not_shipped() -> None:
    artefacts = artefact(), artefact(precision="int8", reason="top-1 drop 3.1 > 1.0")
    assert choose(*artefacts, target="fake", precision="int8") == "fake int8"


@pytest.mark.parametrize(("target", "precision"), [("auto", "int8"), ("fake", "auto"), ("auto", "auto")])
def test_one_name_is_not_enough_for_what_is_not_shipped(target: str, precision: str) -> None:
    unshipped = artefact(precision="int8", reason="top-1 drop 3.1 > 1.0")
    with pytest.raises(BundleError, match="got only fake int8 .top-1 drop 3.1 > 1.0.. Name target and precision"):
        choose(unshipped, target=target, precision=precision)


def test_an_engine_of_the_board_is_opened_by_its_target_and_never_by_auto(installed: str) -> None:
    built = [artefact(precision=name, reason="not run", profile=BatchProfile()) for name in ("fp32", "fp16")]
    assert choose(*built, artefact(installed, p50_ms=9.0), target="fake") == "fake fp32"
    assert choose(*built, artefact(installed, p50_ms=9.0)) == f"{installed} fp32"
    assert choose(*built, target="fake", precision="fp16") == "fake fp16"
    with pytest.raises(BundleError, match="expected a shipped artefact, got only fake fp32"):
        choose(*built)


def test_what_the_target_ships_comes_before_engines_of_the_board() -> None:
    built = artefact(reason="not run", profile=BatchProfile())
    assert choose(built, artefact(precision="int8", p50_ms=9.0), target="fake") == "fake int8"


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(BundleError) as caught:
        choose(artefact(), artefact("openvino"), target="openvno")
    expected = "expected auto or one of fake, openvino, got 'openvno'. Did you mean 'openvino'?"
    assert expected in str(caught.value)


def test_a_target_that_the_bundle_lacks_is_refused_without_a_guess() -> None:
    with pytest.raises(BundleError, match="expected auto or one of fake, got 'openvino'.$"):
        choose(artefact(), target="openvino")


def test_an_unknown_precision_names_the_nearest() -> None:
    with pytest.raises(BundleError, match="expected auto or one of fp32, got 'fp23'. Did you mean 'fp32'?"):
        choose(artefact(), precision="fp23")


@pytest.mark.usefixtures("fake_is_missing")
def test_with_nothing_installed_the_pip_command_is_named() -> None:
    with pytest.raises(
        MissingBackendError, match='runtime for fake to be installed, found none. Run: pip install "fake'
    ):
        choose(artefact())


def test_a_bundle_of_a_later_version_alone_asks_for_an_upgrade() -> None:
    with pytest.raises(MissingBackendError, match="got of_tomorrow. Upgrade hkd-edge-runtime"):
        choose(artefact("of_tomorrow"))


def test_a_folder_of_that_name_is_not_an_installed_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_backend: type[Backend]
) -> None:
    (tmp_path / "no_such_runtime").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fake_backend, "package", "no_such_runtime")
    assert not fake_backend.is_installed()


def test_32_bit_arm_is_told_that_no_wheel_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    from hkd_edge_runtime.packages import import_package

    monkeypatch.setattr("platform.machine", lambda: "armv7l")
    with pytest.raises(MissingBackendError, match=r"no wheels for 32-bit ARM \(armv7l\). Use the 64-bit system"):
        import_package("no_such_package", "no-such-package")
