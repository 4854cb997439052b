"""What `hkd-edge bench` does with its options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hkd_edge.board.measure import Board, bench_on_board, clean_board, write_result
from hkd_edge.board.remote import DEFAULT_FOLDER
from hkd_edge.board.ssh import Destination
from hkd_edge_runtime.bench import Settings, bench
from hkd_edge_runtime.bench_text import bench_lines
from hkd_edge_runtime.turns import Pace

_OF_BOARDS = ("port", "ssh_options", "python", "wheelhouse", "directory", "clean")


def run_bench(bundle: Path | None, *, output: Path | None, as_json: bool, **options: Any) -> None:
    """Measures, prints and writes; the options are those of the command, by their names.

    Raises:
        click.UsageError: if they do not go together.
        HkdEdgeError: as `bench` and `bench_on_board`.
    """
    board = _board(options)
    if bundle is None:
        if board is None or not options["clean"]:
            raise click.UsageError("expected a BUNDLE, or --host with --clean alone, got neither.")
        clean_board(board, _tell)
        return
    settings = _settings(options)
    if board is None:
        result = bench(bundle, settings, _tell).to_dict()
    else:
        result = bench_on_board(bundle, settings, board, _tell)
    files = write_result(result, bundle, options["host"], output)
    for line in [json.dumps(result, indent=2, ensure_ascii=False)] if as_json else bench_lines(result):
        click.echo(line)
    for file in files:
        _tell(f"written: {file}")
    if board is not None and options["clean"]:
        clean_board(board, _tell)


def _board(options: dict[str, Any]) -> Board | None:
    if options["host"] is None:
        if given := [name for name in _OF_BOARDS if options[name]]:
            raise click.UsageError(f"expected --host with --{given[0].replace('_', '-').rstrip('s')}, got none.")
        return None
    return Board(
        Destination(options["host"], options["port"], options["ssh_options"]),
        options["python"],
        options["wheelhouse"],
        options["directory"] or DEFAULT_FOLDER,
        options["timeout"],
    )


def _settings(options: dict[str, Any]) -> Settings:
    if options["seconds"] is not None and options["repeats"] is not None:
        raise click.UsageError("expected --seconds or --repeats, got both.")
    return Settings(
        target=options["target"],
        precision=options["precision"],
        threads=options["threads"],
        batches=options["batches"] or Settings.batches,
        pace=Pace(options["seconds"] or Pace.seconds, options["repeats"]),
        raw=options["raw"],
        starts=options["starts"],
        images=options["images"],
    )


def _tell(text: str) -> None:
    click.echo(text, err=True)
