"""Optional packages: whether they are there, and what to say when they are not."""

from __future__ import annotations

import importlib
import platform
import sys
from types import ModuleType

from hkd_edge_runtime.errors import MissingBackendError


def is_installed(package: str) -> bool:
    """Whether `package` can be found, without importing it."""
    if package in sys.modules:
        return sys.modules[package] is not None
    from importlib.util import find_spec

    try:
        spec = find_spec(package)
    except ModuleNotFoundError:  # of the package that a submodule belongs to
        return False
    # A mere folder of that name in the working directory is found too, but has no origin.
    return spec is not None and spec.origin is not None


def import_package(module: str, requirement: str) -> ModuleType:
    """The imported `module`.

    Raises:
        MissingBackendError: with the pip command for `requirement`, if it is missing or does not load.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingBackendError(missing_message(module, requirement, str(error))) from error


def missing_message(module: str, requirement: str, reason: str) -> str:
    """What is missing, why, and the pip command that brings it; on 32-bit ARM, that no wheel exists."""
    package = module.partition(".")[0]
    head = f"expected the package {package!r} to be installed, but it cannot be imported ({reason})."
    machine = platform.machine()
    if machine.startswith(("armv6", "armv7")):
        return f"{head} There are no wheels for 32-bit ARM ({machine}). Use the 64-bit system of the board."
    return f'{head} Run: pip install "{requirement}"'


def version_of(package: str) -> str | None:
    """The version of the distribution that brought `package`, without importing it; None if no metadata tell it."""
    # Builds for GPUs have other names, but the same module.
    found = (installed_version(f"{package}{suffix}") for suffix in ("", "-gpu"))
    return next((version for version in found if version is not None), None)


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution by its metadata; None if there is none."""
    from importlib import metadata  # a third of this package's import time, for one question

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
