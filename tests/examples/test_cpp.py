"""The C++ example is built, with the sanitizers of the compiler, and answers as the wrapper does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hkd_edge.data import digits
from hkd_edge_runtime import load
from hkd_edge_runtime.golden import read_golden
from hkd_edge_runtime.manifest import file_entry, read_manifest
from hkd_edge_runtime.selection import select_artefact
from tests.debian import PrivateApt, UnavailableError, made_once, unpack, user_cache

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("libonnxruntime-dev", "nlohmann-json3-dev")
# The first Debian release with ONNX Runtime's headers.
RELEASE = "trixie"
SANITIZERS = "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
# The sanitizers see what ONNX Runtime keeps until the process ends as leaks.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0"}
IMAGES = 100
TOLERANCE = 1e-6

Classify = Callable[..., "subprocess.CompletedProcess[str]"]


def fetch_headers() -> Path:
    """The folder that holds `usr/include` with ONNX Runtime's and nlohmann's headers; fetched at the first use."""
    folder = user_cache("cpp-headers") / "1"
    with made_once(folder) as new:
        if new is not None:
            _fetch_headers(new)
    return folder


def _fetch_headers(folder: Path) -> None:
    for release in (None, RELEASE):
        apt = PrivateApt(folder / f"apt-{release}", release=release)
        try:
            apt.update()
            archives = apt.download(*PACKAGES)
            break
        except UnavailableError as error:
            last = error
    else:
        raise last
    unpack(archives, folder, "./usr/include/*", "./usr/share/*")
    for leftover in folder.glob("apt-*"):
        shutil.rmtree(leftover)


def link_library(folder: Path) -> Path:
    """`libonnxruntime.so` in `folder`, which is the wheel's."""
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"), None)
    if library is None:
        raise UnavailableError("this onnxruntime has no libonnxruntime.so to link")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(library)
    return folder / "libonnxruntime.so"


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="session")
def headers() -> Path:
    """`usr` with the headers, where a compiler is that could use them."""
    if missing := [tool for tool in ("cmake", "c++") if shutil.which(tool) is None]:
        pytest.skip(f"C++ example: there is no {' and no '.join(missing)} on this machine")
    for header, package in (("openssl/evp.h", "libssl-dev"), ("zlib.h", "zlib1g-dev")):
        if command("c++", "-x", "c++", "-include", header, "-E", "/dev/null").returncode != 0:
            pytest.skip(f"C++ example: {header} (Debian's {package}) is not on this machine")
    try:
        return fetch_headers() / "usr"
    except UnavailableError as error:
        pytest.skip(f"C++ example: {error}")


def configure(headers: Path, library: Path, build: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """What came of CMake for the example."""
    cache = {
        "ONNXRUNTIME_INCLUDE_DIR": headers / "include" / "onnxruntime",
        "ONNXRUNTIME_LIBRARY": library,
        "nlohmann_json_DIR": headers / "share" / "cmake" / "nlohmann_json",
        **more,
    }
    return command("cmake", "-S", ROOT / "examples" / "cpp", "-B", build, *(f"-D{k}={v}" for k, v in cache.items()))


@pytest.fixture(scope="session")
def program(headers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cpp")
    try:
        library = link_library(folder)
    except UnavailableError as error:
        pytest.skip(f"C++ example: {error}")
    flags = f"-Werror {SANITIZERS}"
    configured = configure(headers, library, folder / "build", CMAKE_BUILD_TYPE="None", CMAKE_CXX_FLAGS=flags)
    assert configured.returncode == 0, configured.stderr
    built = command("cmake", "--build", folder / "build", "--parallel", "2")
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "build" / "classify"


@pytest.fixture(scope="session")
def classify(program: Path) -> Classify:
    """Runs the program with the arguments given."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = [str(program), *map(str, arguments)]
        done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
        assert "Sanitizer" not in done.stderr, done.stderr
        assert "runtime error" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def bundle(digits_run: Path) -> Path:
    return digits_run / "bundle"


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return digits.load(None, download=False).test.images[:IMAGES]


@pytest.fixture(scope="session")
def files(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The images as PGM files."""
    folder = tmp_path_factory.mktemp("pgm")
    paths = [folder / f"{index}.pgm" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image[..., 0]).save(path)
    return paths


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle to damage."""
    return shutil.copytree(bundle, tmp_path / "copy")


def change_manifest(bundle: Path, change: Callable[[dict], None]) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_the_library_that_crashes_on_64_bit_arm_is_not_linked_there(headers: Path, tmp_path: Path) -> None:
    (tmp_path / "libonnxruntime.so.1.21.0").touch()
    (tmp_path / "libonnxruntime.so").symlink_to("libonnxruntime.so.1.21.0")
    board = {"CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": "aarch64"}
    done = configure(headers, tmp_path / "libonnxruntime.so", tmp_path / "build", **board)
    assert done.returncode != 0
    assert "expected another ONNX Runtime than 1.21.0" in " ".join(done.stderr.split())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_answers_are_those_of_the_wrapper(
    classify: Classify, bundle: Path, images: np.ndarray, files: list[Path], precision: str
) -> None:
    done = classify("--json", "--precision", precision, bundle, *files)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == IMAGES
    with load(bundle, "onnxruntime", precision) as model:
        for image, actual in zip(images, answers, strict=True):
            expected = model.predict(image).to_dict()
            assert (actual["label"], actual["index"]) == (expected["label"], expected["index"])
            assert actual["probabilities"] == pytest.approx(expected["probabilities"], abs=TOLERANCE)
            assert list(actual["concepts"]) == list(expected["concepts"])
            for axis, concept in expected["concepts"].items():
                assert actual["concepts"][axis]["concept"] == concept["concept"]
                assert actual["concepts"][axis]["score"] == pytest.approx(concept["score"], abs=TOLERANCE)


def test_the_images_have_concepts_and_axes_that_are_silent(classify: Classify, bundle: Path, files: list[Path]) -> None:
    done = classify("--json", bundle, *files)
    concepts = [each["concept"] for line in done.stdout.splitlines() for each in json.loads(line)["concepts"].values()]
    assert None in concepts
    assert len(set(concepts)) > 3


def test_auto_is_the_artefact_that_the_wrapper_takes(classify: Classify, bundle: Path, files: list[Path]) -> None:
    answer = json.loads(classify("--json", bundle, files[0]).stdout)
    assert answer["precision"] == select_artefact(read_manifest(bundle), "onnxruntime").precision


def test_a_line_of_text_tells_class_score_and_concepts(
    classify: Classify, bundle: Path, images: np.ndarray, files: list[Path]
) -> None:
    line = classify("--precision", "int8", bundle, files[3]).stdout
    with load(bundle, "onnxruntime", "int8") as model:
        answer = model.predict(images[3])
    assert line.startswith(f"{files[3]}: {answer.label} {answer.score:.3f}"[:-2])
    for axis, concept in answer.concepts.items():
        assert f"{axis}: {concept.concept or 'none'} " in line


def test_colour_becomes_grey_as_in_the_wrapper(classify: Classify, bundle: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "colour.ppm")
    answer = json.loads(classify("--json", "--precision", "fp32", bundle, tmp_path / "colour.ppm").stdout)
    with load(bundle, "onnxruntime", "fp32") as model:
        expected = model.predict(tmp_path / "colour.ppm")
    assert answer["probabilities"] == pytest.approx(expected.to_dict()["probabilities"], abs=TOLERANCE)


def test_every_flipped_bit_of_the_artefact_is_refused(classify: Classify, copy: Path, files: list[Path]) -> None:
    file = copy / "artefacts" / "onnxruntime-int8" / "int8.onnx"
    content = file.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(content), 20):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(position) % 8
        file.write_bytes(damaged)
        done = classify("--precision", "int8", copy, files[0])
        assert done.returncode == 10
        assert "int8.onnx: expected SHA-256" in done.stderr


def set_golden(bundle: Path, save: Callable[..., None], **changes: np.ndarray) -> None:
    """Writes the golden file anew, with other arrays, and the manifest's entry for it."""
    with np.load(bundle / "golden.npz") as arrays:
        content = dict(arrays) | {name.replace("__", "/"): array for name, array in changes.items()}
    save(bundle / "golden.npz", **{name: array for name, array in content.items() if array is not None})
    entry = file_entry(bundle, "golden.npz")
    change_manifest(bundle, lambda manifest: manifest["golden"].update(file=asdict(entry)))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_golden_images_agree(
    classify: Classify, bundle: Path, copy: Path, precision: str, save: Callable[..., None]
) -> None:
    set_golden(copy, save)
    done = classify("--precision", precision, "--verify", copy)
    assert done.returncode == 0, done.stderr
    told = re.fullmatch(
        rf"onnxruntime {precision}: (\d+) golden images agree, largest difference (\S+) \(tolerance (\S+)\)\n",
        done.stdout,
    )
    assert told is not None, done.stdout
    manifest = read_manifest(bundle)
    assert int(told[1]) == len(read_golden(bundle, manifest).images)
    assert float(told[2]) < float(told[3]) == manifest.golden.tolerance[precision]


@pytest.mark.parametrize("offset", [0.01, np.nan])
def test_an_artefact_that_answers_otherwise_is_refused(
    classify: Classify, copy: Path, files: list[Path], offset: float
) -> None:
    manifest = read_manifest(copy)
    shifted = read_golden(copy, manifest).probabilities["onnxruntime fp32"].copy()
    shifted[-1, -1] += offset
    set_golden(copy, np.savez, probabilities__onnxruntime__fp32=shifted)
    for arguments in (["--verify", copy], [copy, files[0]]):
        done = classify("--precision", "fp32", *arguments)
        assert (done.returncode, done.stdout) == (10, "")
        assert "fp32: expected the golden probabilities to within 0.0001" in done.stderr
    assert classify("--precision", "fp32", "--no-verify", copy, files[0]).returncode == 0


def test_a_tolerance_of_one_artefact_alone_counts(classify: Classify, copy: Path) -> None:
    set_golden(copy, np.savez)
    change_manifest(copy, lambda manifest: manifest["golden"]["tolerance"].update({"onnxruntime fp32": 0.125}))
    assert "(tolerance 0.125)" in classify("--precision", "fp32", "--verify", copy).stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "got one without 'images.npy'"),
        ({"probabilities__onnxruntime__fp32": None}, "got one without 'probabilities/onnxruntime/fp32.npy'"),
        ({"images": np.zeros((3, 8, 8, 1))}, "images: expected 64 numbers of |u1 for each image"),
        ({"images": np.zeros((3, 8, 9, 1), np.uint8)}, "images: expected 64 numbers of |u1 for each image"),
        ({"images": np.zeros((0, 8, 8, 1), np.uint8)}, "images: expected 64 numbers of |u1 for each image"),
        ({"images": np.zeros((3, 8, 8, 1), np.uint8)}, "expected probabilities of each, got other numbers of them"),
        ({"images": np.zeros((3, 8, 8, 1), np.uint8, order="F")}, "got 'images' in another order"),
    ],
)
def test_golden_images_that_do_not_fit_are_refused(
    classify: Classify, copy: Path, changes: dict[str, Any], message: str
) -> None:
    set_golden(copy, np.savez_compressed, **changes)
    done = classify("--precision", "fp32", "--verify", copy)
    assert (done.returncode, done.stdout) == (10, "")
    assert message in done.stderr


def test_no_damage_of_the_golden_file_crashes_it(classify: Classify, copy: Path) -> None:
    """Flips bits and gives the damaged file a manifest that fits, so that the reader itself sees them."""
    content = (copy / "golden.npz").read_bytes()
    codes = set()
    for position in np.random.default_rng(0).integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(position) % 8
        (copy / "golden.npz").write_bytes(damaged if position % 4 else damaged[:position])
        entry = file_entry(copy, "golden.npz")
        change_manifest(copy, lambda manifest, entry=entry: manifest["golden"].update(file=asdict(entry)))
        codes.add(classify("--precision", "fp32", "--verify", copy).returncode)
    assert codes <= {0, 10}
    assert 10 in codes


def test_a_flipped_bit_of_the_golden_file_is_refused(classify: Classify, copy: Path) -> None:
    content = bytearray((copy / "golden.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "golden.npz").write_bytes(content)
    done = classify("--verify", copy)
    assert done.returncode == 10
    assert "golden.npz: expected SHA-256" in done.stderr


def test_outputs_of_another_size_are_refused_without_golden_images(
    classify: Classify, copy: Path, files: list[Path]
) -> None:
    change_manifest(copy, lambda manifest: manifest["labels"].pop())
    done = classify("--no-verify", copy, files[0])
    assert done.returncode == 10
    assert "probabilities: expected 9 numbers" in done.stderr


def set_path(path: str) -> Callable[[dict], None]:
    def change(manifest: dict) -> None:
        for artefact in manifest["artefacts"]:
            artefact["files"][0]["path"] = path

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.update(format_version=99), "expected hkd-edge-bundle of version 1, got"),
        (lambda manifest: manifest.update(format="zip"), "got 'zip' of version 1"),
        (lambda manifest: manifest.pop("input"), "expected a bundle's manifest"),
        (lambda manifest: manifest.update(artefacts=[]), "expected one of the bundle's for ONNX Runtime:, got auto"),
        (lambda manifest: manifest["labels"].pop(), "probabilities/onnxruntime/int8: expected 9 numbers of <f4"),
        (lambda manifest: manifest["input"].update(width=9), "expected one input 'images' of uint8 (batch, 8, 9, 1)"),
        (set_path("../int8.onnx"), "expected a plain relative path inside the bundle, got '../int8.onnx'"),
        (set_path("/etc/hostname"), "expected a plain relative path inside the bundle"),
        (set_path("no.onnx"), "no.onnx: expected a file, found none"),
        (set_path("artefacts"), "artefacts: expected a file, found none"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    classify: Classify, copy: Path, images: np.ndarray, tmp_path: Path, change: Callable[[dict], None], message: str
) -> None:
    change_manifest(copy, change)
    width = json.loads((copy / "manifest.json").read_text(encoding="utf-8")).get("input", {}).get("width", 8)
    Image.fromarray(np.zeros((8, width), np.uint8)).save(tmp_path / "blank.pgm")
    done = classify(copy, tmp_path / "blank.pgm")
    assert (done.returncode, done.stdout) == (10, "")
    assert message in done.stderr


def test_a_symlink_in_the_place_of_the_artefact_is_refused(classify: Classify, copy: Path, files: list[Path]) -> None:
    file = copy / "artefacts" / "onnxruntime-fp32" / "fp32.onnx"
    file.rename(copy / "elsewhere.onnx")
    file.symlink_to(copy / "elsewhere.onnx")
    done = classify("--precision", "fp32", copy, files[0])
    assert done.returncode == 10
    assert "expected a plain relative path" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a binary PGM (P5) or PPM (P6) file"),
        (b"\x89PNG\r\n", "expected a binary PGM (P5) or PPM (P6) file"),
        (b"P5\n8 x\n", "expected a number in the header"),
        (b"P5\n-8 8 255\n", "expected a number in the header"),
        (b"P5\n99999999999999999999999 8 255\n", "expected a number in the header"),
        (b"P5\n8 9 255\n" + bytes(72), "expected 8 x 8 pixels, got 8 x 9. Resize the image."),
        (b"P5\n8 8 65535\n" + bytes(128), "expected 8 bits with white = 255, got 65535"),
        (b"P5\n8 8 255\n" + bytes(63), "expected 64 bytes of pixels, got fewer"),
        (b"P6\n8 8 255\n" + bytes(64), "expected 192 bytes of pixels, got fewer"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(
    classify: Classify, bundle: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "image.pgm").write_bytes(content)
    done = classify(bundle, tmp_path / "image.pgm")
    assert (done.returncode, done.stdout) == (12, "")
    assert message in done.stderr


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), magic=st.sampled_from([b"P5", b"P6 8 8", b"P5 8 8 255 "]))
def test_no_bytes_in_the_place_of_an_image_crash_it(
    classify: Classify, bundle: Path, tmp_path: Path, magic: bytes, content: bytes
) -> None:
    (tmp_path / "any.pgm").write_bytes(magic + content)
    assert classify(bundle, tmp_path / "any.pgm").returncode in (0, 12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a bundle and at least one image"),
        (["--verify"], "--verify: expected a bundle and nothing else"),
        (["--verify", "bundle", "image"], "--verify: expected a bundle and nothing else"),
        (["--verify", "--no-verify", "bundle"], "--verify: expected a bundle and nothing else"),
        (["bundle"], "expected a bundle and at least one image"),
        (["--fast", "bundle", "image"], "--fast: unknown option"),
        (["bundle", "image", "--precision"], "--precision: expected a value after it"),
        (["--threads", "0", "bundle", "image"], "--threads: expected a number from 1 to 1024, got '0'"),
        (["--threads", "two", "bundle", "image"], "--threads: expected a number from 1 to 1024, got 'two'"),
    ],
)
def test_wrong_usage_is_told(classify: Classify, arguments: list[str], message: str) -> None:
    done = classify(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "usage: classify" in done.stderr


def test_a_missing_bundle_and_a_missing_precision_are_told(
    classify: Classify, bundle: Path, files: list[Path], tmp_path: Path
) -> None:
    missing = classify(tmp_path, files[0])
    assert missing.returncode == 10
    assert "manifest.json: expected a file, found none" in missing.stderr
    other = classify("--precision", "int4", bundle, files[0])
    assert other.returncode == 10
    assert "expected one of the bundle's for ONNX Runtime:" in other.stderr
