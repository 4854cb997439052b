"""Makes every file of a delivery from its source, and the record of how each came about."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hkd_edge.delivery.int8 import Int8Maker
from hkd_edge.delivery.plan import PRECISIONS, artefact_at, planned, without_kernels
from hkd_edge.delivery.source import Source
from hkd_edge.evaluate.artefacts import TENSORRT, Artefact
from hkd_edge.recipe.delivery import Precision, Target, TensorRt, Validate
from hkd_edge_export.half import to_half
from hkd_edge_export.ladder import LadderResult, Trial
from hkd_edge_export.to_openvino import to_openvino
from hkd_edge_export.to_tensorrt import BatchProfile, build_engine, builds_without_gpu, missing_reason, trtexec_command
from hkd_edge_runtime.files import copy_atomically, sha256_file

RECORD_NAME = "export.json"
_TIMING_CACHE = "timing.cache"


@dataclass(frozen=True)
class Order:
    """What is wanted.

    Attributes:
        max_drop: the loss that int8 may have in points of top-1.
        tensorrt: the batches of its engines.
        gates: what int8 will be validated by and must hold beside `max_drop`; None where it will not be.
    """

    targets: Sequence[Target]
    precisions: Sequence[Precision]
    max_drop: float
    tensorrt: TensorRt = field(default_factory=TensorRt)
    gates: Validate | None = None


@dataclass(frozen=True)
class Delivered:
    """What was made.

    Attributes:
        artefacts: by target in the order wanted, fp32 first; without an int8 that no way was good enough for.
        extra: files that belong to artefacts but that no runtime of this project opens: engines with their records.
        record: JSON: the trials of int8, what TensorRT said, what was left out and what remains to be done elsewhere.
    """

    artefacts: tuple[Artefact, ...]
    extra: tuple[Path, ...]
    record: dict[str, Any]


def deliver(source: Source, order: Order, folder: Path, tell: Callable[[str], None]) -> Delivered:
    """Makes the artefacts of `order` below `folder`; `tell` is given each line that a person wants to know.

    Every file is whole or not there; those of an earlier delivery are replaced one by one, at the end of their making.

    Raises:
        ExportError: if a file cannot be made, or breaks its contract.
        HkdEdgeError: whatever else the making or judging of a file meets.
    """
    left_out = without_kernels(order.targets, order.precisions)
    for line in left_out:
        tell(line)
    artefacts: list[Artefact] = []
    ladders: dict[str, LadderResult] = {}
    folder.mkdir(parents=True, exist_ok=True)
    with _work_folder(folder) as work:
        maker = Int8Maker(source, work)
        for artefact in planned(order.targets, order.precisions, folder):
            artefact.path.parent.mkdir(exist_ok=True)
            if artefact.precision != "int8":
                _make_float(source, artefact)
                artefacts.append(artefact)
                continue
            target: Target = artefact.target  # type: ignore[assignment]
            ladder = _make_int8(maker, artefact, work, order, tell)
            ladders[target] = ladder
            if ladder.chosen is not None:
                artefacts.append(artefact)
            elif "fp16" in PRECISIONS[target] and "fp16" not in order.precisions:
                half = artefact_at(folder, target, "fp16")
                _make_float(source, half)
                artefacts.append(half)
                tell(f"{target}: fp16 takes the place of int8")
    engines, extra = _tensorrt(artefacts, order.tensorrt, folder, tell)
    record = {
        "artefacts": [
            {"target": each.target, "precision": each.precision, "file": each.path.relative_to(folder).as_posix()}
            for each in artefacts
        ],
        "left_out": left_out,
        "int8": {target: asdict(ladder) for target, ladder in ladders.items()},
        "tensorrt": engines,
    }
    return Delivered(tuple(artefacts), tuple(extra), record)


def recorded_artefacts(record: dict[str, Any], folder: Path) -> list[Artefact]:
    """The artefacts that a delivery below `folder` has recorded."""
    return [Artefact(each["target"], each["precision"], folder / each["file"]) for each in record["artefacts"]]


def recorded_files(folder: Path) -> list[Path]:
    """All files of the artefacts that are recorded below `folder` (by `export.json`)."""
    record = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    return [file for artefact in recorded_artefacts(record, folder) for file in artefact.files]


def _make_float(source: Source, artefact: Artefact) -> None:
    if artefact.target == "openvino":
        to_openvino(source.fp32, artefact.path, half_weights=artefact.precision == "fp16")
    elif artefact.precision == "fp16":
        to_half(source.fp32, artefact.path)
    else:
        _copy(source.fp32, artefact.path)


def _make_int8(
    maker: Int8Maker, artefact: Artefact, work: Path, order: Order, tell: Callable[[str], None]
) -> LadderResult:
    target: Target = artefact.target  # type: ignore[assignment]
    onnx = work / f"{target}.onnx"
    ladder = maker.climb(
        target, onnx, order.max_drop, lambda trial: tell(f"{target} int8: {_told(trial)}"), order.gates
    )
    if ladder.chosen is None:
        tell(
            f"{target} int8: no way loses at most {order.max_drop:g} points of "
            f"{ladder.reference.top1:.2f} %{' and holds the other gates' if order.gates else ''}, "
            "so there is no int8 file"
        )
        for file in artefact.files:
            file.unlink(missing_ok=True)
    elif target == "openvino":
        to_openvino(onnx, artefact.path)
    else:
        _copy(onnx, artefact.path)
    return ladder


def _told(trial: Trial) -> str:
    top1 = "no file" if trial.top1 is None else f"{trial.top1:.2f} %"
    floats = f", {len(trial.float_layers)} layers in float" if trial.float_layers else ""
    chosen = "taken: " if trial.chosen else ""
    return f"{trial.rung} ({trial.candidate}): {top1}{floats}, {trial.seconds:.1f} s; {chosen}{trial.reason}"


def _tensorrt(
    artefacts: Sequence[Artefact], settings: TensorRt, folder: Path, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[Path]]:
    """What TensorRT makes of its files here, if it can, and what remains to be done on the board."""
    profile = BatchProfile(settings.min_batch, settings.opt_batch, settings.max_batch)
    reason = missing_reason()
    # TensorRT builds for the GPU at hand alone.
    capabilities = settings.compute_capabilities if builds_without_gpu() else ()
    records, files = [], []
    for artefact in artefacts:
        if artefact.target != TENSORRT:
            continue
        command = trtexec_command(artefact.path, profile)
        entry: dict[str, Any] = {"precision": artefact.precision, "on_the_board": command}
        if reason is None:
            plan = artefact.path.with_suffix(".plan")
            engine = build_engine(
                artefact.path,
                plan,
                profile,
                capabilities,
                timing_cache=folder / TENSORRT / _TIMING_CACHE,
            )
            files += [plan, engine.sidecar]
            entry["engine"] = engine.to_json()
            tell(
                f"tensorrt {artefact.precision}: parsed and built by {engine.flavour} {engine.version} for compute "
                f"capability {', '.join(engine.compute_capabilities)} without a warning about types, never run here"
            )
        else:
            entry["not_built"] = reason
        records.append(entry)
    if records and reason is not None:
        tell(f"tensorrt: no engine is built here: {reason}")
    if records:
        told = records[-1]["on_the_board"]
        tell(f"tensorrt: what remains: the board builds its engine at first use; by hand: {told}")
    return records, files


@contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` that is gone afterwards; if this process is killed, the next one removes it by its name
    (see `hkd_edge.run.directory`)."""
    work = folder / f".work.{secrets.token_hex(6)}"
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work)


def _copy(source: Path, target: Path) -> None:
    if target.exists() and sha256_file(source) == sha256_file(target):
        return
    copy_atomically(source, target)
