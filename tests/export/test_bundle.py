from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from hkd_edge_export.bundle import ArtefactSource, BundleDescription, write_bundle
from hkd_edge_export.errors import ExportError
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_runtime import BundleError, MissingBackendError, load
from hkd_edge_runtime.evaluation import EvaluationSet, read_evaluation
from hkd_edge_runtime.files import sha256_file
from hkd_edge_runtime.golden import read_golden
from hkd_edge_runtime.hierarchy import Axis, Hierarchy
from hkd_edge_runtime.manifest import InputSpec, read_manifest

HIERARCHY = Hierarchy(
    tuple("0123456789"), (Axis("parity", ("even", "odd"), (0, 1) * 5), Axis("loop", ("one",), (0, *[-1] * 9)))
)


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """Handwritten digits, uint8 (20, 8, 8, 1)."""
    return (load_digits().images[:20, ..., None] * 15).astype(np.uint8)


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear classifier of 8 x 8 images with the contract's input and outputs."""
    onnx = pytest.importorskip("onnx")
    node, info, kinds = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.TensorProto
    constants = {
        "weights": np.random.default_rng(1).normal(0, 0.002, (64, 10)).astype(np.float32),
        "membership": HIERARCHY.membership(),
    }
    nodes = [
        node("Cast", ["images"], ["float"], to=kinds.FLOAT),
        node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        node("Flatten", ["nchw"], ["flat"]),
        node("MatMul", ["flat", "weights"], ["logits"]),
        node("Softmax", ["logits"], ["probabilities"]),
        node("MatMul", ["probabilities", "membership"], ["concept_probabilities"]),
    ]
    widths = {"logits": 10, "probabilities": 10, "concept_probabilities": 3}
    graph = onnx.helper.make_graph(
        nodes,
        "digits",
        [info("images", kinds.UINT8, ["batch", 8, 8, 1])],
        [info(name, kinds.FLOAT, ["batch", width]) for name, width in widths.items()],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = tmp_path_factory.mktemp("onnx") / "digits.onnx"
    opsets = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@pytest.fixture
def description(onnx_file: Path, tmp_path: Path, digits: np.ndarray) -> BundleDescription:
    xml = to_openvino(onnx_file, tmp_path / "digits.xml")
    artefacts = (
        ArtefactSource("onnxruntime", "fp32", (onnx_file,), metrics={"top1": 0.9, "p50_ms": 0.2}),
        ArtefactSource("openvino", "fp32", (xml, xml.with_suffix(".bin")), shipped=False, reason="slower"),
    )
    return BundleDescription(
        "digits",
        InputSpec(8, 8, 1),
        HIERARCHY,
        artefacts,
        digits,
        metrics={"top1": 0.9},
        provenance={"seed": 3, "recipe": {"name": "digits"}},
    )


def test_a_written_bundle_opens_and_answers(tmp_path: Path, description: BundleDescription, digits: np.ndarray) -> None:
    write_bundle(tmp_path / "bundle", description)
    with load(tmp_path / "bundle") as model:
        answers = model.predict_batch(digits)
    assert model.artefact.target == "onnxruntime"
    assert len(answers) == 20
    assert set(answers[0].concepts) == {"parity", "loop"}


def test_the_manifest_says_what_the_description_said(tmp_path: Path, description: BundleDescription) -> None:
    write_bundle(tmp_path / "bundle", description)
    manifest = read_manifest(tmp_path / "bundle")
    assert (manifest.name, manifest.provenance["seed"], manifest.metrics) == ("digits", 3, {"top1": 0.9})
    assert manifest.created_by.startswith("hkd-edge 0.")
    assert [(each.title, each.shipped, each.reason) for each in manifest.artefacts] == [
        ("onnxruntime fp32", True, ""),
        ("openvino fp32", False, "slower"),
    ]


def test_the_files_are_copies_with_their_checksums(
    tmp_path: Path, description: BundleDescription, onnx_file: Path
) -> None:
    write_bundle(tmp_path / "bundle", description)
    entries = read_manifest(tmp_path / "bundle").files()
    assert entries[0].sha256 == sha256_file(onnx_file)
    assert [Path(entry.path).name for entry in entries[1:3]] == ["digits.xml", "digits.bin"]
    for entry in entries:
        assert sha256_file(tmp_path / "bundle" / entry.path) == entry.sha256


def test_the_report_compares_every_artefact(tmp_path: Path, description: BundleDescription) -> None:
    report = write_bundle(tmp_path / "bundle", description)
    assert [each.target for each in report.checked] == ["onnxruntime", "openvino"]
    assert [each.images for each in report.checked] == [20, 20]
    assert report.skipped == ()


def test_the_golden_probabilities_are_each_runtimes_own(
    tmp_path: Path, description: BundleDescription, digits: np.ndarray
) -> None:
    write_bundle(tmp_path / "bundle", description)
    golden = read_golden(tmp_path / "bundle", read_manifest(tmp_path / "bundle"))
    assert np.array_equal(golden.images, digits)
    for target in ("onnxruntime", "openvino"):
        with load(tmp_path / "bundle", target, "fp32") as model:
            assert np.array_equal(model.run(digits).probabilities, golden.probabilities[f"{target} fp32"])


def test_the_same_description_gives_the_same_bytes(tmp_path: Path, description: BundleDescription) -> None:
    for name in ("one", "two"):
        write_bundle(tmp_path / name, description)
    for name in ("manifest.json", "golden.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_an_evaluation_subset_comes_along_checked(
    tmp_path: Path, description: BundleDescription, digits: np.ndarray
) -> None:
    subset = EvaluationSet(digits, load_digits().target[:20])
    report = write_bundle(tmp_path / "bundle", replace(description, evaluation=subset))
    manifest = read_manifest(tmp_path / "bundle")
    stored = read_evaluation(tmp_path / "bundle", manifest)
    assert stored is not None
    assert np.array_equal(stored.images, subset.images)
    assert np.array_equal(stored.labels, subset.labels)
    assert manifest.evaluation in manifest.files()
    assert report.files == 5


def test_an_older_bundle_is_replaced_whole(tmp_path: Path, description: BundleDescription) -> None:
    folder = tmp_path / "bundles" / "digits"
    write_bundle(folder, description)
    (folder / "left over").touch()
    write_bundle(folder, replace(description, name="newer", artefacts=description.artefacts[:1]))
    assert read_manifest(folder).name == "newer"
    assert sorted(path.name for path in folder.iterdir()) == ["artefacts", "golden.npz", "manifest.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["digits"]


def test_a_symlink_to_a_bundle_stays_one(tmp_path: Path, description: BundleDescription) -> None:
    write_bundle(tmp_path / "bundle", description)
    (tmp_path / "current").symlink_to("bundle")
    write_bundle(tmp_path / "current", replace(description, name="newer"))
    assert (tmp_path / "current").is_symlink()
    assert read_manifest(tmp_path / "bundle").name == "newer"


def _broken_file(description: BundleDescription, folder: Path) -> BundleDescription:
    (folder / "broken.onnx").write_bytes(b"not a model")
    return replace(description, artefacts=(ArtefactSource("onnxruntime", "fp32", (folder / "broken.onnx",)),))


def _missing_file(description: BundleDescription, folder: Path) -> BundleDescription:
    return replace(description, artefacts=(ArtefactSource("onnxruntime", "fp32", (folder / "nowhere.onnx",)),))


def _same_names(description: BundleDescription, folder: Path) -> BundleDescription:
    file = description.artefacts[0].files[0]
    return replace(description, artefacts=(ArtefactSource("onnxruntime", "fp32", (file, file)),))


def _other_classes(description: BundleDescription, folder: Path) -> BundleDescription:
    return replace(description, hierarchy=Hierarchy(("yes", "no")))


def _unknown_target(description: BundleDescription, folder: Path) -> BundleDescription:
    return replace(description, artefacts=(replace(description.artefacts[0], target="tensorrt"),))


def _unknown_precision(description: BundleDescription, folder: Path) -> BundleDescription:
    return replace(description, artefacts=(replace(description.artefacts[0], precision="int4"),))


def _float_images(description: BundleDescription, folder: Path) -> BundleDescription:
    return replace(description, golden_images=description.golden_images / 255)


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (_broken_file, BundleError, "expected a model for ONNX Runtime"),
        (_missing_file, ExportError, "nowhere.onnx: expected a file of an artefact, found none"),
        (_same_names, ExportError, "expected files of different names, got digits.onnx, digits.onnx"),
        (_other_classes, BundleError, "expected logits, probabilities and concept probabilities of"),
        (_unknown_target, MissingBackendError, "got 'tensorrt'"),
        (_unknown_precision, ValueError, "golden.tolerance: expected a number for 'int4', got none"),
        (_float_images, ValueError, "golden_images: expected uint8 (G, 8, 8, 1) with G >= 1, got float64"),
    ],
)
def test_a_failure_leaves_the_older_bundle_and_nothing_else(
    tmp_path: Path, description: BundleDescription, spoil: Callable[..., Any], kind: type, message: str
) -> None:
    folder = tmp_path / "bundles" / "digits"
    write_bundle(folder, description)
    with pytest.raises(kind) as caught:
        write_bundle(folder, spoil(description, tmp_path))
    assert message in str(caught.value)
    assert [path.name for path in folder.parent.iterdir()] == ["digits"]
    load(folder).close()


def test_an_interruption_between_the_two_renames_brings_the_older_bundle_back(
    tmp_path: Path, description: BundleDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundles" / "digits"
    write_bundle(folder, description)
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.suffix == ".new":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(folder, replace(description, name="newer"))
    assert [path.name for path in folder.parent.iterdir()] == ["digits"]
    assert read_manifest(folder).name == "digits"


def test_a_folder_that_is_no_bundle_is_not_overwritten(tmp_path: Path, description: BundleDescription) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    for place in (tmp_path / "photos", tmp_path / "photos" / "cat.png"):
        with pytest.raises(ExportError, match="expected a new folder or an older bundle, got something else"):
            write_bundle(place, description)
    assert (tmp_path / "photos" / "cat.png").exists()


def test_an_empty_folder_becomes_a_bundle(tmp_path: Path, description: BundleDescription) -> None:
    (tmp_path / "bundle").mkdir()
    write_bundle(tmp_path / "bundle", description)
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["format"] == "hkd-edge-bundle"
