"""What `hkd-edge compare` does with its options."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hkd_edge.compare.comparison import compare_runs
from hkd_edge.compare.runs import read_runs
from hkd_edge.compare.text import comparison_lines
from hkd_edge_runtime.errors import HkdEdgeError
from hkd_edge_runtime.files import write_bytes_atomically


def run_compare(folders: tuple[Path, ...], output: Path | None, json_file: Path | None, baseline: int) -> None:
    """Compares the runs in `folders`, prints and writes; `baseline` counts from 1.

    Raises:
        click.UsageError: if they are fewer than two, or the baseline is none of them.
        HkdEdgeError: as `read_runs`, or if a file cannot be written.
    """
    if len(folders) < 2:
        raise click.UsageError(f"expected two or more runs, got {len(folders)}. Name another to compare with.")
    if baseline > len(folders):
        raise click.UsageError(f"--baseline: expected a number from 1 to {len(folders)}, got {baseline}.")
    comparison = compare_runs(read_runs(folders), baseline - 1)
    for line in comparison_lines(comparison):
        click.echo(line)
    if output is not None:
        from hkd_edge.compare.page import comparison_page  # matplotlib, for those who want the page

        _write(output, comparison_page(comparison))
    if json_file is not None:
        _write(json_file, json.dumps(comparison.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(file, text.encode("utf-8"))
    except OSError as error:
        raise HkdEdgeError(f"{file}: expected a file that can be written, got: {error}. Name another.") from error
    click.echo(f"written: {file}", err=True)
