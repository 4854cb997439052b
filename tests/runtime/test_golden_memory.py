from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hkd_edge_runtime import BundleError, golden_memory, load
from hkd_edge_runtime.backends import Backend
from hkd_edge_runtime.bundle import open_bundle
from hkd_edge_runtime.cache import CacheWarning, cache_folder
from hkd_edge_runtime.golden_memory import golden_facts
from hkd_edge_runtime.manifest import read_manifest, write_manifest
from hkd_edge_runtime.verify import verify_bundle


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The artefacts whose golden images were run, in their order."""
    done: list[str] = []
    check = golden_memory.check_golden

    def counted(backend: Backend, artefact: Any, *others: Any) -> Any:
        done.append(artefact.title)
        return check(backend, artefact, *others)

    monkeypatch.setattr(golden_memory, "check_golden", counted)
    return done


def test_golden_images_are_run_on_the_first_load_alone(bundle: Path, runs: list[str]) -> None:
    for _ in range(3):
        load(bundle).close()
    assert runs == ["fake fp32"]


def test_true_runs_them_always_and_false_never(bundle: Path, runs: list[str]) -> None:
    load(bundle, verify=False).close()
    assert runs == []
    load(bundle, verify=True).close()
    load(bundle, verify=True).close()
    assert len(runs) == 2
    load(bundle).close()
    assert len(runs) == 2


def test_another_word_is_refused(bundle: Path) -> None:
    with pytest.raises(ValueError, match="verify: expected True, False or 'once', got 'always'"):
        load(bundle, verify="always")  # type: ignore[arg-type]


def test_what_verify_compared_is_remembered(bundle: Path, runs: list[str]) -> None:
    verify_bundle(bundle)
    assert runs == ["fake fp32"]
    load(bundle).close()
    assert len(runs) == 1


def test_a_failure_is_not_remembered(bundle_maker: Callable[..., Path], runs: list[str]) -> None:
    folder = bundle_maker(golden_shift=0.5)
    for _ in range(2):
        with pytest.raises(BundleError, match="expected the golden probabilities"):
            load(folder)
    assert len(runs) == 2


def test_each_artefact_and_number_of_threads_is_run_once(bundle_maker: Callable[..., Path], runs: list[str]) -> None:
    folder = bundle_maker({}, {"precision": "int8"})
    for precision, threads in [("fp32", 1), ("int8", 1), ("fp32", 2), ("fp32", 1), ("int8", 1), ("fp32", 2)]:
        load(folder, "fake", precision, threads=threads).close()
    assert runs == ["fake fp32", "fake int8", "fake fp32"]


def test_another_bundle_is_run_again(bundle: Path, runs: list[str]) -> None:
    load(bundle).close()
    write_manifest(bundle, replace(read_manifest(bundle), name="other"))
    load(bundle).close()
    assert len(runs) == 2


def test_another_version_of_the_runtime_is_run_again(
    bundle: Path, runs: list[str], fake_backend: type[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(bundle).close()
    monkeypatch.setattr(fake_backend, "version", lambda self: "1.1")
    load(bundle).close()
    assert len(runs) == 2


def test_another_processor_is_run_again(bundle: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    load(bundle).close()
    monkeypatch.setattr("hkd_edge_runtime.machine.cpu_facts", lambda root: "another")
    load(bundle).close()
    assert len(runs) == 2


def test_another_gpu_is_run_again(
    bundle: Path, runs: list[str], fake_backend: type[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(bundle).close()
    monkeypatch.setattr(fake_backend, "device", classmethod(lambda cls: "Orin, compute capability 8.7"))
    load(bundle).close()
    load(bundle).close()
    assert len(runs) == 2


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 10_000])
def test_a_damaged_entry_is_as_none_and_is_written_anew(bundle: Path, runs: list[str], content: bytes) -> None:
    load(bundle).close()
    (entry,) = (cache_folder() / "golden").iterdir()
    right = entry.read_bytes()
    entry.write_bytes(content)
    load(bundle).close()
    assert (len(runs), entry.read_bytes()) == (2, right)


def test_a_folder_in_the_place_of_an_entry_is_as_none(bundle: Path, runs: list[str]) -> None:
    load(bundle).close()
    (entry,) = (cache_folder() / "golden").iterdir()
    entry.unlink()
    entry.mkdir()
    with pytest.warns(RuntimeWarning, match="expected a cache folder that can be written"):
        load(bundle).close()
    assert len(runs) == 2


def test_a_cache_that_cannot_be_written_is_one_warning(
    bundle: Path, runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            load(bundle).close()
    assert [each.category for each in caught] == [CacheWarning]
    assert "expected a cache folder that can be written, got" in str(caught[0].message)
    assert Path(caught[0].filename) == Path(__file__)
    assert len(runs) == 3


def test_a_user_without_a_home_is_a_warning_too(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.warns(RuntimeWarning, match="Could not determine home directory"):
        load(bundle).close()


def test_an_entry_can_be_read_by_people(bundle: Path, fake_backend: type[Backend]) -> None:
    load(bundle, threads=2).close()
    (entry,) = (cache_folder() / "golden").iterdir()
    with open_bundle(bundle) as opened:
        facts = golden_facts(fake_backend(), opened.manifest.artefacts[0], opened.digest, 2)
    for name, value in facts.items():
        assert f'"{name}": "{value}"' in entry.read_text()
    assert (facts["artefact"], facts["runtime"], facts["threads"]) == ("fake fp32", "fake 1.0", "2")
