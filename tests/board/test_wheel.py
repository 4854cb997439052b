from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hkd_edge.board.wheel import build_wheel, extras
from hkd_edge_runtime import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_same_source_gives_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    assert build_wheel(tmp_path).read_bytes() == wheel.read_bytes()
    assert wheel.name == f"hkd_edge_runtime-{__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < 200_000


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    source = ROOT / "runtime"
    expected = {str(path.relative_to(source)) for path in (source / "hkd_edge_runtime").rglob("*.py")}
    names = zipfile.ZipFile(wheel).namelist()
    assert expected | {"hkd_edge_runtime/py.typed"} == {name for name in names if ".dist-info/" not in name}


def test_its_metadata_say_what_the_runtimes_need(wheel: Path) -> None:
    text = zipfile.ZipFile(wheel).read(f"hkd_edge_runtime-{__version__}.dist-info/METADATA").decode()
    metadata = email.message_from_string(text)
    required = metadata.get_all("Requires-Dist")
    assert (metadata["Name"], metadata["Requires-Python"]) == ("hkd-edge-runtime", ">=3.10")
    assert "numpy>=1.23" in required
    assert "onnxruntime>=1.18; (platform_machine != 'aarch64') and extra == 'onnxruntime'" in required
    assert {"onnxruntime", "openvino", "images"} <= set(metadata.get_all("Provides-Extra")) == set(extras())


def test_pip_takes_the_wheel_and_finds_it_whole(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    target = tmp_path / "site"
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel], check=True)
    code = "import hkd_edge_runtime as h, importlib.metadata as m; print(h.__file__, m.version('hkd-edge-runtime'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(target / "hkd_edge_runtime/__init__.py"), __version__]
