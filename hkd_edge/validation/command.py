"""What `hkd-edge validate` does with its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from hkd_edge.errors import GateError
from hkd_edge.evaluate.result import RESULT_FILE, Validation, read_validation, write_validation
from hkd_edge.evaluate.validate import failure
from hkd_edge.pipeline import run_pipeline
from hkd_edge.recipe import load_recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.report.summary import markdown_summary
from hkd_edge.report.write import write_report
from hkd_edge.run.context import Context
from hkd_edge.run.directory import RECIPE_FILE, hold_run, is_run
from hkd_edge.stages.validate import VALIDATE
from hkd_edge.validation.junit import github_annotations, write_junit
from hkd_edge.validation.of_bundle import limits_with, validate_bundle
from hkd_edge.validation.of_run import validate_run
from hkd_edge_runtime.files import write_json_atomically


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        targets: none = all.
        data: a folder with a subfolder of images for each class, in the place of the test images.
        gates: those that take the place of the recipe's, by their keys.
        output: folder for a bundle's result; a run's is written into the run.
        junit, json: files to write.
    """

    targets: tuple[str, ...] = ()
    data: Path | None = None
    gates: Mapping[str, Any] = field(default_factory=dict)
    output: Path | None = None
    junit: Path | None = None
    json: Path | None = None


def validate_path(path: Path, request: Request, overrides: tuple[str, ...], reporter: Reporter) -> None:
    """Validates the run or the bundle at `path`, writes and prints what was found.

    Raises:
        GateError: if a gate failed, after everything is written.
        HkdEdgeError: whatever keeps it from being validated.
    """
    if is_run(path):
        if request.output is not None:
            raise click.UsageError("expected -o with a bundle or recipe only; the result of a run is written into it.")
        validation = _run(path, request, overrides, reporter)
    else:
        if overrides:
            raise click.UsageError("expected --set with a recipe or run only, got a bundle. Give gates as options.")
        validation = _bundle(path, request, reporter)
    finish(validation, request)


def validate_recipe(recipe: str, request: Request, overrides: tuple[str, ...], reporter: Reporter) -> None:
    """Takes the recipe up to validation, going on with its run if there is one, then as `validate_path`.

    Raises:
        GateError, HkdEdgeError: as `validate_path`.
    """
    if request.targets or request.data:
        raise click.UsageError("expected --target and --data with a run or bundle only, got a recipe.")
    loaded = load_recipe(recipe, (*_overrides(request), *overrides))
    output = request.output or Path("runs") / loaded.name
    try:
        run_pipeline(loaded, output, reporter, until=VALIDATE.name, resume=True)
    except GateError:
        if not (output / RESULT_FILE).is_file():
            raise
    write_report(output)
    finish(read_validation(output), request)


def finish(validation: Validation, request: Request) -> None:
    """Writes the files asked for, prints the report, and raises if a gate failed.

    Raises:
        GateError: if the verdict is `failed`.
    """
    if request.json is not None:
        write_json_atomically(request.json, validation.to_json())
    if request.junit is not None:
        write_junit(request.junit, validation)
    for line in github_annotations(validation):
        click.echo(line)
    click.echo(markdown_summary(validation))
    if validation.verdict == "failed":
        raise GateError(failure(validation))


def _run(path: Path, request: Request, overrides: tuple[str, ...], reporter: Reporter) -> Validation:
    recipe = load_recipe(str(path / RECIPE_FILE), (*_overrides(request), *overrides))
    speed = request.gates.get("int8_must_be_faster", False)
    with hold_run(path):
        validation, arrays = validate_run(Context(recipe, path, reporter), request.targets, request.data, speed)
        write_validation(path, validation, arrays)
        write_report(path)
    return validation


def _bundle(path: Path, request: Request, reporter: Reporter) -> Validation:
    validation, arrays = validate_bundle(
        *(path, request.targets, request.data, lambda own: limits_with(own, request.gates), reporter.work),
        lambda text: reporter.note("validate", text),
    )
    if request.output is not None:
        with hold_run(request.output):
            write_validation(request.output, validation, arrays)
            write_report(request.output)
    return validation


def _overrides(request: Request) -> tuple[str, ...]:
    return tuple(f"validate.{name}={_yaml(value)}" for name, value in request.gates.items())


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
