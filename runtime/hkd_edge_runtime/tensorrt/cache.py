"""Engines in the user's cache directory: built once per file, TensorRT and GPU, by one process at a time.

Each is a plain plan, as trtexec and other tools read it, with its record beside it as `<plan>.json`. The folder
may be deleted at any time.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from hkd_edge_runtime.cache import CacheWarning
from hkd_edge_runtime.tensorrt.installed import Gpu
from hkd_edge_runtime.tensorrt.progress import Tell
from hkd_edge_runtime.tensorrt.record import BatchProfile

if sys.platform != "win32":
    import fcntl


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on; engines with different keys never share a file.

    Attributes:
        settings: the number of the builder's settings, see `build.SETTINGS`.
    """

    onnx_sha256: str
    flavour: str
    version: str
    gpu: Gpu
    precision: str
    profile: BatchProfile
    settings: int

    @property
    def plan_name(self) -> str:
        """The plan's file name: what it is for a person, then a digest of the whole key."""
        digest = sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.onnx_sha256[:12]}-{self.precision}-{digest[:16]}.plan"

    def describes(self, record: object) -> bool:
        """Whether the content of a sidecar is that of an engine with this key."""
        wanted = {
            "onnx_sha256": self.onnx_sha256,
            "flavour": self.flavour,
            "version": self.version,
            "compute_capabilities": [self.gpu.compute_capability],
            "precision": self.precision,
            "profile": asdict(self.profile),
        }
        return isinstance(record, dict) and {name: record.get(name) for name in wanted} == wanted


class EngineMaker(Protocol):
    """How an engine comes to be."""

    def build(self) -> bytes:
        """The bytes of a new plan; takes minutes on a board."""

    def write(self, plan: bytes, out: Path) -> None:
        """Writes the plan that `build` gave, with the record beside it."""

    def deserialize(self, plan: bytes) -> Any:
        """The engine in the bytes of a plan, or None if TensorRT refuses them."""


def cached_engine(folder: Path, key: EngineKey, maker: EngineMaker, tell: Tell) -> Any:
    """The engine of `key` from `folder`; built, and kept there, if it is not there, is damaged, or is refused.

    A second process that wants the same engine waits for the first and takes its result. Where `folder` cannot be
    written, a CacheWarning says so and the engine lives in memory alone. None if even the new one is refused.
    """
    plan = folder / key.plan_name
    engine = _read(plan, key, maker)
    if engine is not None:
        return engine
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / f"{plan.name}.lock").open("ab")
    except OSError as error:
        _warn_unwritable(folder, error)
        return maker.deserialize(maker.build())
    with lock, _alone(lock.fileno(), tell):
        # The process that had the lock before may have built it meanwhile.
        engine = _read(plan, key, maker)
        if engine is not None:
            return engine
        if plan.exists():
            tell(f"{plan.name}: damaged, or refused by this TensorRT; it is built again")
        data = maker.build()
        try:
            maker.write(data, plan)
        except OSError as error:
            _warn_unwritable(folder, error)
    return maker.deserialize(data)


def _read(plan: Path, key: EngineKey, maker: EngineMaker) -> Any:
    """The engine in `plan`; None if there is none, or its bytes or its record are not those that were written."""
    try:
        record = json.loads(plan.with_name(f"{plan.name}.json").read_bytes())
        data = plan.read_bytes()
    except (OSError, ValueError, RecursionError):
        return None
    if not key.describes(record) or record.get("plan_sha256") != sha256(data).hexdigest():
        return None
    return maker.deserialize(data)


@contextmanager
def _alone(file: int, tell: Tell) -> Iterator[None]:
    """Holds the lock on an open file while the block runs; it falls when the process ends, however it ends."""
    if sys.platform == "win32":
        # No flock there: two processes may both build, and each writes its files whole.
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell("another process builds this engine; waiting for it")
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        tell(f"no file locks in the cache directory ({error.strerror}); two processes may build the same engine")
    yield


def _warn_unwritable(folder: Path, error: OSError) -> None:
    warnings.warn(
        f"{folder}: expected to keep the TensorRT engine there, but it cannot be written ({error.strerror}), so it "
        "is built again each time. Set XDG_CACHE_HOME to a folder that can be.",
        CacheWarning,
        stacklevel=2,
    )
