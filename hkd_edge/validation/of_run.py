"""Validates a run as it is: nothing is made again, and a file that was changed since it was made is a failed gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hkd_edge.data.dataset import ImageSet
from hkd_edge.data.fit import input_spec
from hkd_edge.errors import GateError, RunDirectoryError
from hkd_edge.evaluate.result import Gate, Validation
from hkd_edge.evaluate.validate import validate
from hkd_edge.pipeline import STAGES
from hkd_edge.run.context import Context
from hkd_edge.run.stage import Stamp, read_stamp
from hkd_edge.stages.export import artefacts
from hkd_edge.stages.validate import VALIDATE, subject_of
from hkd_edge.validation.labelled import choose_targets, read_labelled
from hkd_edge_runtime.errors import BundleError
from hkd_edge_runtime.files import sha256_file


def validate_run(
    context: Context, targets: Sequence[str], data: Path | None, speed_fails: bool = False
) -> tuple[Validation, dict[str, NDArray[Any]]]:
    """The validation of the run's artefacts for `targets` (none = all) on its test images, or on those of `data`.

    With `speed_fails` an int8 that is slower than float fails even if another artefact can ship in its place.

    Raises:
        RunDirectoryError: if its files were not made yet, or there are none for a target.
        GateError: if a file that was changed cannot be opened.
        HkdEdgeError: whatever else an artefact or the images meet.
    """
    findings = _unchanged(context.run)
    files = choose_targets(artefacts(context), targets)
    test, images = (None, "") if data is None else _read(context, data)
    try:
        subject = subject_of(context, files, test, images, findings)
        return validate(subject, context.recipe.validation, context.reporter.work, speed_fails=speed_fails)
    except BundleError as error:
        changed = [gate for gate in findings if gate.status == "failed"]
        if not changed:
            raise
        told = "; ".join(f"{gate.subject}: expected {gate.expected}, got {gate.measured}" for gate in changed)
        raise GateError(f"unchanged: {told}. It cannot be opened either: {error}") from error


def _unchanged(run: Path) -> tuple[Gate, ...]:
    """A failed gate for each file that differs from what its stage has written, or a passed one for all of them."""
    changed, files = [], 0
    for stage in STAGES:
        if stage.name == VALIDATE.name:
            break
        stamp = _stamp(run, stage.name)
        for name, sha256 in stamp.outputs.items():
            files += 1
            found = sha256_file(run / name) if (run / name).is_file() else "no file"
            if found != sha256:
                expected = f"the file that stage {stage.name} wrote (SHA-256 {sha256[:12]})"
                changed.append(Gate("unchanged", name, "failed", expected, f"another ({found[:12]})"))
    return tuple(changed) or (
        Gate("unchanged", "all", "passed", "the files that the stages wrote", f"{files} files with their SHA-256"),
    )


def _stamp(run: Path, stage: str) -> Stamp:
    stamp = read_stamp(run, stage)
    if stamp is None:
        raise RunDirectoryError(
            f"{run}: expected a run whose files are made, got one without stage {stage}. Run: hkd-edge export {run}"
        )
    return stamp


def _read(context: Context, folder: Path) -> tuple[ImageSet, str]:
    spec = input_spec(context.read_json("data/data.json")["image_shape"])
    return read_labelled(folder, spec, context.hierarchy().classes)
