"""What a stage is, when it must run, and the stamp that it leaves behind.

A stage's key is a digest of everything that its results depend on: its part of the recipe, the source code that makes
them, and the contents of what earlier stages wrote. It is skipped if its stamp has that key and its files are still
the ones that it wrote.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hkd_edge.run.context import Context
from hkd_edge_runtime.files import sha256_file, write_json_atomically

_PACKAGES = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    `inputs` gives what the stage depends on beside earlier stages' files, as JSON; `needs` names those stages; `code`
    names the rooms (folders or modules of hkd_edge) whose source decides the result. `run` does the work, given the
    stage's key, and returns the files that it wrote. `help` is what the other processes of a team do meanwhile, which
    write nothing; None is nothing.
    """

    name: str
    inputs: Callable[[Context], Mapping[str, Any]]
    needs: tuple[str, ...]
    code: tuple[str, ...]
    run: Callable[[Context, str], Iterable[Path]]
    help: Callable[[Context, str], None] | None = None


@dataclass(frozen=True)
class Stamp:
    """What a finished stage left: its key, its files with their SHA-256, and how long it took."""

    key: str
    outputs: dict[str, str]
    seconds: float


def run_stage(stage: Stage, context: Context, upstream: Mapping[str, Stamp]) -> Stamp:
    """Runs `stage`, or skips it if it is done; returns its stamp either way."""
    key = stage_key(stage, context, upstream)
    path = _stamp_path(context.run, stage.name)
    stamp = read_stamp(context.run, stage.name)
    if stamp is not None and stamp.key == key and _intact(stamp, context.run):
        context.reporter.stage_skipped(stage.name, key)
        return stamp
    context.reporter.stage_started(stage.name, key)
    started = time.perf_counter()
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)  # from here on until the new stamp is written the stage counts as not done
    if stage.help is not None:
        context.team.tell((stage.name, key))
    files = sorted(stage.run(context, key))
    outputs = {file.relative_to(context.run).as_posix(): sha256_file(file) for file in files}
    stamp = Stamp(key, outputs, round(time.perf_counter() - started, 3))
    write_json_atomically(path, vars(stamp))
    context.reporter.stage_done(stage.name, stamp.seconds)
    return stamp


def stage_key(stage: Stage, context: Context, upstream: Mapping[str, Stamp]) -> str:
    """The SHA-256 of all that the results of `stage` depend on."""
    parts = {
        "stage": stage.name,
        "inputs": stage.inputs(context),
        "code": {room: code_digest(room) for room in stage.code},
        "upstream": {name: _results(upstream[name]) for name in stage.needs},
    }
    return digest(parts)


def _results(stamp: Stamp) -> dict[str, str]:
    """The files that later stages compute from; metrics are read by people and hold times, which never repeat."""
    return {name: sha for name, sha in stamp.outputs.items() if Path(name).name != "metrics.json"}


def digest(value: Any) -> str:
    """The SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@functools.cache
def code_digest(room: str) -> str:
    """The SHA-256 of the Python source of `room`: a folder or module below hkd_edge, or a sibling package's name."""
    folder = _room_path(room)
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]
    content = hashlib.sha256()
    for file in files:
        content.update(file.relative_to(folder.parent).as_posix().encode() + b"\0" + file.read_bytes())
    return content.hexdigest()


def _room_path(room: str) -> Path:
    if room.startswith("hkd_edge_"):
        package = __import__(room)
        return Path(package.__file__ or "").resolve().parent
    path = _PACKAGES / room
    return path if path.is_dir() else path.with_suffix(".py")


def read_stamp(run: Path, stage: str) -> Stamp | None:
    """What the stage of that name left in the run directory when it was last done; None if it is not."""
    try:
        return Stamp(**json.loads(_stamp_path(run, stage).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _stamp_path(run: Path, stage: str) -> Path:
    return run / "stages" / f"{stage}.json"


def _intact(stamp: Stamp, run: Path) -> bool:
    return all((run / name).is_file() and sha256_file(run / name) == sha for name, sha in stamp.outputs.items())
