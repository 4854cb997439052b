"""A comparison as lines for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hkd_edge.compare import tables
from hkd_edge.compare.comparison import Comparison
from hkd_edge.compare.differences import Differing
from hkd_edge.compare.words import found, notes
from hkd_edge.report.page import NOTHING

_NUMBER = re.compile(rf"[-+<]?[\d,]+(\.\d+)?|{NOTHING}")
_LONGEST_CELL = 40  # of a recipe's value; the page has it whole


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """What the runs are, what differs, and in sentences what can be told."""
    for table in (tables.runs_table(comparison), tables.artefacts_table(comparison)):
        yield from _lines(table)
    for caption, keys in (("What differs between the recipes", comparison.recipe), *_machine(comparison)):
        yield from (
            _lines(tables.differing_table(caption, keys, comparison.runs)) if keys else (f"{caption}: nothing", "")
        )
    yield from _lines(tables.paired_table(comparison))
    yield from (found(comparison, paired) for paired in comparison.paired)
    yield ""
    yield from notes(comparison)


def _machine(comparison: Comparison) -> list[tuple[str, tuple[Differing, ...]]]:
    return [("What differs between the machines", comparison.machine)] if comparison.machine else []


def _lines(table: tables.Table) -> Iterator[str]:
    """Caption and columns, those of numbers to the right, and an empty line."""
    rows = [tuple(map(_shortened, row)) for row in table.rows]
    columns = list(zip(table.headers, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(map(_NUMBER.fullmatch, column[1:])) for column in columns]
    yield table.caption
    for row in (table.headers, *rows):
        cells = zip(row, widths, numeric, strict=True)
        yield "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells).rstrip()
    yield ""


def _shortened(cell: str) -> str:
    return cell if len(cell) <= _LONGEST_CELL else f"{cell[: _LONGEST_CELL - 3]}..."
