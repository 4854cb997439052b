"""Lists of images: a CSV (or .tsv) file with a header, or Parquet.

path,class,kind,split,group
img/001.jpg,Coat,tops,train,shop-4

`path` starts from the list's folder. `split` and `group` may be left out; every further column is an axis, and an empty
cell of it says nothing. An empty class is one that nobody has told; such an image needs a concept.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hkd_edge.data.listing import SPLITS, TRAIN, Entry, Listing, class_name, is_printable, listed
from hkd_edge.errors import DataError, MissingDependencyError
from hkd_edge_runtime.errors import did_you_mean
from hkd_edge_runtime.packages import missing_message

_PATH, _CLASS, _SPLIT, _GROUP = "path", "class", "split", "group"
_NEEDED = (_PATH, _CLASS)
_OPTIONAL = (_SPLIT, _GROUP)
_PARQUET = (".parquet", ".pq")
_PYARROW = "pyarrow>=15"
_MEND = "Mend the list."
_Row = Mapping[str, str]


@dataclass(frozen=True)
class _Table:
    """Column names, and the rows with what each is called in messages."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, _Row], ...]


def list_table(path: Path) -> Listing:
    """The images that the list at `path` names, in its order.

    Raises:
        DataError: if it is missing, unreadable or empty, lacks a column, or with every row that is wrong.
        MissingDependencyError: for Parquet without pyarrow.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a list of images (.csv, .tsv or .parquet), found none. Check the path.")
    table = _read_parquet(path) if path.suffix.lower() in _PARQUET else _read_csv(path)
    _check_columns(path, table.columns)
    if not table.rows:
        raise DataError(f"{path}: expected a row for each image, got only a header. {_MEND}")
    if problems := list(_problems(table)):
        raise DataError(listed(f"{path}: expected rows that name an image and its class or concepts", problems, _MEND))
    axes = tuple(column for column in table.columns if _is_axis(column))
    return Listing(path, tuple(_entry(path.parent, place, row, axes) for place, row in table.rows), axes)


def _read_csv(path: Path) -> _Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            columns = [name.strip() for name in next(reader, [])]
            return _Table(tuple(columns), tuple(_numbered(path, reader, columns)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected a CSV file in UTF-8, got: {error}. {_MEND}") from error


def _numbered(path: Path, reader: Iterator[list[str]], columns: Sequence[str]) -> Iterator[tuple[str, _Row]]:
    for cells in reader:
        if not cells:
            continue
        line = reader.line_num  # type: ignore[attr-defined]  # of csv's reader
        if len(cells) != len(columns):
            raise DataError(f"{path}:{line}: expected {len(columns)} cells as in the header, got {len(cells)}. {_MEND}")
        yield f"{path.name}:{line}", dict(zip(columns, (cell.strip() for cell in cells), strict=True))


def _read_parquet(path: Path) -> _Table:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingDependencyError(missing_message("pyarrow", _PYARROW, str(error))) from error
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are both
        raise DataError(f"{path}: expected a Parquet file, got: {error}. Replace it.") from error
    rows = ({name: "" if cell is None else str(cell) for name, cell in row.items()} for row in table.to_pylist())
    return _Table(
        tuple(table.column_names), tuple((f"{path.name} row {n}", row) for n, row in enumerate(rows, start=1))
    )


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    for name in _NEEDED:
        if name not in columns:
            near = did_you_mean(name, columns)
            raise DataError(f"{path}: expected the columns path and class, got {', '.join(columns)}.{near} Add {name}.")
    repeated = sorted({name for name in columns if columns.count(name) > 1 or not is_printable(name)})
    if repeated:
        raise DataError(f"{path}: expected columns with a name of their own each, got {repeated}. {_MEND}")


def _problems(table: _Table) -> Iterator[str]:
    first: dict[str, tuple[str, str]] = {}
    splits = [bool(row.get(_SPLIT)) for _, row in table.rows]
    for place, row in table.rows:
        yield from (f"{place}: {problem}" for problem in _of_row(row, some_split=any(splits)))
        label, name = row[_CLASS], row[_PATH]
        there, other = first.setdefault(name, (place, label))
        if name and there != place:
            as_what = "again" if other == label else f"as {_called(label)} and as {_called(other)}"
            yield f"{place}: {name} is listed {as_what}, see {there}"


def _is_axis(column: str) -> bool:
    return column not in (*_NEEDED, *_OPTIONAL)


def _called(label: str) -> str:
    return repr(label) if label else "one without a class"


def _of_row(row: _Row, *, some_split: bool) -> Iterator[str]:
    if not row[_PATH]:
        yield f"no {_PATH}"
    split = row.get(_SPLIT, "")
    if not row[_CLASS] and not any(cell for column, cell in row.items() if _is_axis(column)):
        yield "no class and no concept"
    elif not row[_CLASS] and SPLITS.get(split.lower(), TRAIN) != TRAIN:
        yield f"no class, and so no use in split {split!r}"
    for column, cell in row.items():
        if column != _PATH and cell and not is_printable(cell):
            yield f"{column} {cell!a} cannot be printed"
    if some_split and split.lower() not in SPLITS:
        yield f"split {split!r} is none of {', '.join(SPLITS)}"


def _entry(folder: Path, place: str, row: _Row, axes: Sequence[str]) -> Entry:
    split = row.get(_SPLIT)
    return Entry(
        folder / Path(row[_PATH]).expanduser(),
        row[_PATH],
        class_name(row[_CLASS]) or None,
        place,
        {axis: class_name(row[axis]) for axis in axes if row[axis]},
        SPLITS[split.lower()] if split else None,
        row.get(_GROUP) or None,
    )
