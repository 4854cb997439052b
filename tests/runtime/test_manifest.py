from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.hierarchy import Axis, Hierarchy
from hkd_edge_runtime.manifest import (
    Artefact,
    FileEntry,
    Golden,
    InputSpec,
    Manifest,
    manifest_from_dict,
    manifest_to_dict,
    read_manifest,
    verify_files,
    write_manifest,
)

ENTRY = FileEntry("artefacts/model.onnx", "0" * 64, 10)
MANIFEST = Manifest(
    "pets",
    "hkd-edge 0.1.0",
    InputSpec(4, 5, 1),
    Hierarchy(("cat", "car"), (Axis("kind", ("animal",), (0, -1)),)),
    (Artefact("onnxruntime", "fp32", (ENTRY,), True, "", {"top1": 0.9}),),
    Golden(FileEntry("golden.npz", "1" * 64, 20), {"fp32": 1e-4}),
    {"top1": 0.9},
    {"seed": 1, "data": {"files": ["train", None]}},
)

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
IDENTIFIERS = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,8}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | WORDS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(WORDS, values, max_size=3),
    max_leaves=6,
)
ENTRIES = st.builds(
    FileEntry,
    st.from_regex(r"[a-z0-9_-]{1,5}(/[a-z0-9_-]{1,5}){0,2}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    st.integers(0, 2**60),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    color, channels = draw(st.sampled_from([("grey", 1), ("rgb", 3)]))
    resize = draw(st.sampled_from(["bilinear", "bicubic", "nearest"]))
    size = st.integers(1, 4096)
    names = draw(st.lists(st.tuples(IDENTIFIERS, IDENTIFIERS), min_size=1, max_size=3, unique=True))
    metrics = st.dictionaries(WORDS, NUMBERS, max_size=3)
    files = st.lists(ENTRIES, min_size=1, max_size=2).map(tuple)
    artefacts = tuple(
        Artefact(target, precision, draw(files), draw(st.booleans()), draw(WORDS), draw(metrics))
        for target, precision in names
    )
    tolerance = {precision: draw(st.floats(0, 1)) for _, precision in names}
    return Manifest(
        draw(WORDS),
        draw(WORDS),
        InputSpec(draw(size), draw(size), channels, color=color, resize=resize),
        MANIFEST.hierarchy,
        artefacts,
        Golden(draw(ENTRIES), tolerance),
        draw(metrics),
        draw(st.dictionaries(WORDS, JSON, max_size=3)),
        draw(st.none() | ENTRIES),
    )


@given(manifests())
@settings(deadline=None, max_examples=50)
def test_a_manifest_survives_json(manifest: Manifest) -> None:
    text = json.dumps(manifest_to_dict(manifest), ensure_ascii=False, allow_nan=False)
    assert manifest_from_dict(json.loads(text)) == manifest


def test_a_manifest_survives_the_disk(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]


def test_the_file_holds_the_keys_of_the_format() -> None:
    data = manifest_to_dict(MANIFEST)
    assert (data["format"], data["format_version"]) == ("hkd-edge-bundle", 1)
    assert data["labels"] == ["cat", "car"]
    assert data["hierarchy"] == {"classes": ["cat", "car"], "axes": {"kind": {"animal": ["cat"]}}}
    assert data["input"]["layout"] == "NHWC"


def test_what_a_bundle_may_lack_is_left_out_and_never_null() -> None:
    assert "evaluation" not in manifest_to_dict(MANIFEST)
    with pytest.raises(BundleError, match="evaluation: expected a mapping, got None"):
        manifest_from_dict(_changed("evaluation", None))


def test_a_target_of_a_later_version_is_read() -> None:
    data = _changed("artefacts.0.target", "tensorrt")
    assert manifest_from_dict(data).artefacts[0].target == "tensorrt"


def _changed(path: str, value: Any) -> Any:
    """The manifest as JSON, with the value at a dotted path replaced; `...` removes it."""
    data = json.loads(json.dumps(manifest_to_dict(MANIFEST)))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = data
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("format", "zip", "expected a mapping with format 'hkd-edge-bundle'"),
        ("format", ..., "this is not a bundle's manifest"),
        ("format_version", 2, "format_version: expected 1, got 2. Install the hkd-edge-runtime that belongs"),
        ("format_version", True, "format_version: expected 1, got True"),
        ("format_version", ..., "format_version: expected 1, got None"),
        ("name", ..., "name: missing."),
        ("name", 3, "name: expected a text, got 3."),
        ("labels", ..., "labels: missing."),
        ("labels", ["car", "cat"], "labels: expected the classes of the hierarchy in the same order."),
        ("naem", "pets", "naem: unknown key. Did you mean 'name'?"),
        ("input", [4, 5, 1], "input: expected a mapping, got [4, 5, 1]."),
        ("input.height", "4", "input.height: expected a whole number, got '4'."),
        ("input.height", True, "input.height: expected a whole number, got True."),
        ("input.height", 4.0, "input.height: expected a whole number, got 4.0."),
        ("input.height", 0, "input: height, width: expected numbers >= 1, got 0 and 5."),
        ("input.channels", 3, "input: channels: expected 1 for color 'grey', got 3."),
        ("input.dtype", "float32", "input.dtype: expected 'uint8', got 'float32'."),
        ("input.color", "bgr", "input.color: expected 'grey' or 'rgb', got 'bgr'."),
        ("input.resize", ["bilinear"], "input.resize: expected 'bilinear' or"),
        (
            "hierarchy.axes.kind.animal",
            ["cut"],
            "hierarchy: axis 'kind', concept 'animal': unknown class 'cut'.",
        ),
        ("hierarchy", None, "hierarchy: expected a mapping, got None."),
        ("artefacts", {}, "artefacts: expected a list, got {}."),
        ("artefacts", [], "artefacts: expected at least one, got none."),
        ("artefacts.0.shipped", 1, "artefacts[0].shipped: expected true or false, got 1."),
        ("artefacts.0.files", [], "artefacts[0]: files: expected at least one file, got none."),
        ("artefacts.0.target", "../x", "artefacts[0]: target: expected lower-case letters"),
        ("artefacts.0.precision", "", "artefacts[0]: precision: expected lower-case letters"),
        ("artefacts.0.precision", "int8", "golden.tolerance: expected a number for 'int8', got none."),
        (
            "artefacts.0.metrics.top1",
            "0.9",
            "artefacts[0].metrics.top1: expected a finite number, got '0.9'.",
        ),
        (
            "artefacts.0.metrics.top1",
            10**400,
            "artefacts[0].metrics.top1: expected a finite number, got 1000",
        ),
        ("artefacts.0.files.0.size_bytes", -1, "files[0]: size_bytes: expected a number >= 0, got -1."),
        ("artefacts.0.files.0.sha256", "abc", "files[0]: sha256: expected 64 lower-case hex digits"),
        ("golden.file", ..., "golden.file: missing."),
        ("golden.tolerance.fp32", -1, "golden: tolerance.fp32: expected a number >= 0, got -1.0."),
        ("provenance", "none", "provenance: expected a mapping, got 'none'."),
    ],
)
def test_a_wrong_manifest_is_refused_naming_the_key(path: str, value: Any, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        manifest_from_dict(_changed(path, value))
    assert message in str(caught.value)
    assert caught.value.exit_code == 10


def test_all_problems_are_named_at_once() -> None:
    data = _changed("name", 3)
    data["input"]["height"] = "4"
    data["extra"] = data.pop("metrics")
    with pytest.raises(BundleError) as caught:
        manifest_from_dict(data)
    for key in ("name:", "input.height:", "metrics: missing", "extra: unknown key"):
        assert key in str(caught.value)


def test_the_same_artefact_twice_is_refused() -> None:
    data = manifest_to_dict(MANIFEST)
    with pytest.raises(BundleError, match="artefacts: onnxruntime fp32 is there twice"):
        manifest_from_dict(data | {"artefacts": data["artefacts"] * 2})


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../model.onnx", "a/../../b", "a/./b", "a//b", "a/", ".", "", "C:/a", "a\\..\\b", "a\0b"],
)
def test_a_path_that_could_leave_the_bundle_is_refused(path: str) -> None:
    with pytest.raises(BundleError, match="expected a plain relative path inside the bundle"):
        manifest_from_dict(_changed("artefacts.0.files.0.path", path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value: line 1"),
        (b"\xff\xfe", "expected JSON in UTF-8"),
        (b'{"format": "hkd-edge-bundle", "format": "x"}', "a key is there twice"),
        (b'{"format": NaN}', "NaN is not a JSON number"),
        (b"[" * 200_000, "expected JSON in UTF-8"),
        (b"[]", "this is not a bundle's manifest"),
    ],
)
def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=message):
        read_manifest(tmp_path)


def test_a_truncated_manifest_is_refused_wherever_it_ends(bundle: Path) -> None:
    path = bundle / "manifest.json"
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(BundleError, match="Copy the bundle again"):
            read_manifest(bundle)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected a bundle .a folder with manifest.json., found none"):
        read_manifest(tmp_path / "nowhere")


def test_a_manifest_that_is_a_symlink_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "manifest.json").rename(tmp_path / "elsewhere.json")
    (bundle / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleError, match="expected a file, got a symlink"):
        read_manifest(bundle)


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _link_elsewhere(path: Path) -> None:
    outside = path.rename(path.parents[2].parent / "outside")
    path.symlink_to(outside)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip_a_bit, "expected SHA-256"),
        (_cut_short, "bytes, got"),
        (Path.unlink, "expected a file, found none"),
        (_link_elsewhere, "expected a file, got a symlink"),
    ],
)
def test_a_damaged_file_is_refused_by_name(bundle: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(bundle / "artefacts/fake-fp32/model.npz")
    with pytest.raises(BundleError) as caught:
        verify_files(bundle, read_manifest(bundle))
    assert "artefacts/fake-fp32/model.npz: expected" in str(caught.value)
    assert message in str(caught.value)
    assert "golden.npz" not in str(caught.value)


def test_a_folder_that_is_a_symlink_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "artefacts").rename(tmp_path / "outside")
    (bundle / "artefacts").symlink_to(tmp_path / "outside", target_is_directory=True)
    with pytest.raises(BundleError, match="expected a file, got a symlink"):
        verify_files(bundle, read_manifest(bundle))


def test_the_bundle_itself_may_be_reached_by_a_symlink(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle, target_is_directory=True)
    verify_files(tmp_path / "current", read_manifest(tmp_path / "current"))


def test_damaged_golden_images_are_refused(bundle: Path) -> None:
    _flip_a_bit(bundle / "golden.npz")
    with pytest.raises(BundleError, match="golden.npz: expected SHA-256"):
        verify_files(bundle, read_manifest(bundle))


def test_a_file_that_cannot_be_read_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hkd_edge_runtime.manifest.sha256_file", refuse)
    with pytest.raises(BundleError, match=r"cannot be read \(Permission denied\)"):
        verify_files(bundle, read_manifest(bundle))
