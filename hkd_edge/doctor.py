"""`hkd-edge doctor`: what this machine can do, and what to type for what it cannot."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from hkd_edge_runtime.backends import BACKENDS, backend_class


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` says what to do where `ok` is false."""

    topic: str
    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Looks at Python, torch and its devices, each runtime and each data source; imports torch."""
    return [
        Finding(
            "machine",
            "python",
            True,
            f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        ),
        Finding("machine", "hkd-edge", True, _version("hkd-edge") or "from source"),
        *_devices(),
        *_runtimes(),
        *_toolchain(),
        *_data_sources(),
    ]


def render(findings: Sequence[Finding], *, as_json: bool) -> str:
    """The findings as text for a person, or as a JSON list."""
    if as_json:
        return json.dumps([asdict(finding) for finding in findings], indent=2)
    lines: list[str] = []
    for finding in findings:
        if finding.topic not in lines:
            lines.append(finding.topic)
        remedy = f"  ->  {finding.remedy}" if finding.remedy and not finding.ok else ""
        lines.append(f"  {'ok' if finding.ok else '--'}  {finding.name:<14} {finding.detail}{remedy}")
    return "\n".join(lines)


def _devices() -> list[Finding]:
    import torch

    from hkd_edge.train.device import has_fast_bf16

    cpu = torch.device("cpu")
    found = [
        Finding("training", "torch", True, torch.__version__),
        Finding(
            "training",
            "cpu",
            True,
            f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, bf16 {'yes' if has_fast_bf16(cpu) else 'no'}",
        ),
    ]
    for index in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(index)
        detail = f"{torch.cuda.get_device_name(index)}, compute capability {major}.{minor}"
        found.append(Finding("training", f"cuda:{index}", True, detail))
    if torch.cuda.device_count() == 0:
        found.append(Finding("training", "cuda", False, "no CUDA device is visible", "training runs on the CPU"))
    return found


def _runtimes() -> list[Finding]:
    found = []
    for name in BACKENDS:
        backend = backend_class(name)
        ok = backend.is_installed()
        detail = backend().version() if ok else "not installed"
        found.append(Finding("runtimes", name, ok, detail, f'pip install "{backend.requirement}"'))
    return found


def _toolchain() -> list[Finding]:
    return [
        Finding("export", package, version is not None, version or "not installed", f"pip install {package}")
        for package in ("onnx", "onnxscript", "nncf", "torchvision", "scikit-learn")
        for version in [_version(package)]
    ]


def _data_sources() -> list[Finding]:
    from hkd_edge.data.fashion_mnist import PACKAGE, locate
    from hkd_edge.errors import DataError

    try:
        detail, ok = locate(None, download=False)[1], True
    except DataError:
        detail, ok = "not on this machine yet", False
    remedy = f"the first run fetches it; or: apt install {PACKAGE}; or: --set data.root=FOLDER"
    return [
        Finding("data", "fashion_mnist", ok, detail, remedy),
        Finding("data", "digits", _version("scikit-learn") is not None, "comes with scikit-learn"),
    ]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
