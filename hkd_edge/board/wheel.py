"""The wheel of hkd-edge-runtime, built from the package that is installed here: no build tool, no network.

The same source gives the same bytes. Format: the binary distribution format of packaging.python.org (PEP 427).
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomllib

import hkd_edge_runtime

_PACKAGE = Path(hkd_edge_runtime.__file__).parent
_HERE = Path(__file__).resolve().parents[1]
# The oldest time that a zip can hold.
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16


def build_wheel(folder: Path) -> Path:
    """Writes the wheel into `folder` and returns its path."""
    project = tomllib.loads((_project_folder() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stem = f"{project['name'].replace('-', '_')}-{hkd_edge_runtime.__version__}"
    info = f"{stem}.dist-info"
    files = _package_files() | {
        f"{info}/METADATA": _metadata(project).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hkd-edge\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/licenses/LICENSE": (_project_folder() / "LICENSE").read_bytes(),
    }
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files | {f"{info}/RECORD": _record(files, f"{info}/RECORD")}).items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr = _MODE
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return path


def extras() -> tuple[str, ...]:
    """The extras of the runtime: one for each inference runtime, and `images`."""
    project = tomllib.loads((_project_folder() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return tuple(project["optional-dependencies"])


def _project_folder() -> Path:
    """Where the runtime's pyproject.toml is: inside the installed package, or in the source tree."""
    packed = _HERE / "_runtime"
    return packed if packed.is_dir() else _HERE.parent / "runtime"


def _package_files() -> dict[str, bytes]:
    """The package's files by their names in the wheel, sorted."""
    found = (path for path in _PACKAGE.rglob("*") if path.suffix == ".py" or path.name == "py.typed")
    return {f"{_PACKAGE.name}/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes() for path in sorted(found)}


def _metadata(project: Mapping[str, Any]) -> str:
    """Core metadata, version 2.4, of what pip reads."""
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {hkd_edge_runtime.__version__}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        "License-File: LICENSE",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in project["dependencies"]),
    ]
    for extra, requirements in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        lines.extend(f"Requires-Dist: {_for_extra(requirement, extra)}" for requirement in requirements)
    return "\n".join(lines) + "\n"


def _for_extra(requirement: str, extra: str) -> str:
    """The requirement with the condition that `extra` is asked for.

    >>> _for_extra("a>=1; python_version < '3.11' or os_name == 'nt'", "x")
    "a>=1; (python_version < '3.11' or os_name == 'nt') and extra == 'x'"
    """
    name, _, marker = (part.strip() for part in requirement.partition(";"))
    condition = f"({marker}) and " if marker else ""
    return f"{name}; {condition}extra == '{extra}'"


def _record(files: Mapping[str, bytes], own_name: str) -> bytes:
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    return "\n".join([*lines, f"{own_name},,", ""]).encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
