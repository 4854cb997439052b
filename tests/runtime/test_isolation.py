"""What an import may load, and that nothing reaches for the network."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAVY = ["torch", "onnx", "onnxruntime", "openvino", "PIL", "click", "pydantic", "rich", "yaml", "nncf"]
HEAVY += ["tensorrt", "tensorrt_rtx_bindings", "cuda.bindings.runtime"]

REFUSE_NETWORK = """
import socket
def refuse(*arguments, **options):
    raise SystemExit(f"the network was reached for: {arguments[1:]}")
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
"""


def python(code: str) -> str:
    """What `code` prints in a fresh interpreter with this one's search path."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": ":".join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["hkd_edge_runtime", "hkd_edge_runtime.__main__"])
def test_an_import_loads_numpy_alone(module: str) -> None:
    loaded = python(f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded == "[]"


def test_an_import_leaves_what_a_load_needs_to_the_load() -> None:
    # Each of these takes milliseconds; together they would be most of the 30 ms that the import may take.
    late = ["zipfile", "hashlib", "json", "difflib", "shutil", "secrets", "pathlib", "hkd_edge_runtime.manifest"]
    code = "import sys, numpy; before = set(sys.modules); import hkd_edge_runtime; hkd_edge_runtime.load; "
    assert python(code + f"print([m for m in {late} if m in set(sys.modules) - before])") == "[]"


def test_the_package_is_pure_python_of_less_than_200_kb() -> None:
    import hkd_edge_runtime

    folder = Path(hkd_edge_runtime.__file__).parent
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in files} == {".py", ".typed"}
    # A wheel is compressed by deflate; all the files as one stream are what it comes to at least.
    assert len(zlib.compress(b"".join(path.read_bytes() for path in files))) < 150_000


def test_looking_for_a_runtime_does_not_import_it() -> None:
    code = """
import sys
from hkd_edge_runtime.backends import BACKENDS, backend_class
print([backend_class(name).is_installed() in (True, False) for name in BACKENDS])
"""
    assert python(code + f"print([m for m in {HEAVY} if m in sys.modules])") == "[True, True, True]\n[]"


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_a_prediction_loads_no_training_package_and_reaches_for_no_network(
    bundle_maker: Callable[..., Path], target: str
) -> None:
    folder = bundle_maker({"target": target})
    code = f"""
import sys
{REFUSE_NETWORK}
import numpy as np
import hkd_edge_runtime as hkd
with hkd.load({str(folder)!r}) as model:
    model.predict(np.zeros((4, 5), np.uint8))
print([m for m in ("torch", "onnx", "click", "pydantic", "PIL", "nncf") if m in sys.modules])
print(sys.modules.get("openvino_telemetry"))
"""
    assert python(code) == "[]\nNone"


def test_opening_the_openvino_backend_alone_blocks_its_telemetry(model_writer: Any, toy: Any, tmp_path: Path) -> None:
    xml = model_writer("openvino", tmp_path, toy)[0]
    code = f"""
import sys
{REFUSE_NETWORK}
from pathlib import Path
from hkd_edge_runtime.backends import backend_class
backend = backend_class("openvino")()
backend.open(Path({str(xml)!r}))
print(backend.version()[0].isdigit(), [m for m in sys.modules if m.startswith("openvino_telemetry.")])
print(sys.modules["openvino_telemetry"])
"""
    assert python(code) == "True []\nNone"


@pytest.mark.parametrize("first", ["hkd_edge_runtime", "hkd_edge_export.lint"])
def test_onnxruntime_leaves_no_identifier_behind(
    model_writer: Any, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    # Where it believes to be tested it reports nothing by itself.
    switches = ["ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"]
    for name in ["CI", "GITHUB_ACTIONS", "TF_BUILD", "PYTEST_CURRENT_TEST", *switches]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    onnx = model_writer("onnxruntime", tmp_path, toy)[0]
    code = f"""
import {first}
from pathlib import Path
from hkd_edge_runtime.backends import backend_class
backend = backend_class("onnxruntime")()
backend.open(Path({str(onnx)!r}))
backend.close()
"""
    python(code)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name.lower() or "deviceid" in path.name]
