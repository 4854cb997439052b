"""Data sets of Hugging Face's package `datasets`: what `save_to_disk` wrote, or Parquet files as in a clone.

Nothing but files below the folder is read: the package is imported with its switches for offline work set, no code of a
data set is run, and images of which there is only an address are refused.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hkd_edge.errors import DataError, MissingDependencyError
from hkd_edge.importing.columns import Asked, Columns, choose_columns, pixels_reader, text_reader
from hkd_edge.importing.source import Item, Source, known_splits, split_named
from hkd_edge_runtime.packages import missing_message

_REQUIREMENT = "hkd-edge[huggingface]"
_SWITCHES = (
    *("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_DATASETS_DISABLE_PROGRESS_BARS"),
)
_SAVED = ("dataset_dict.json", "state.json")
_ROWS_AT_ONCE = 64  # of a megabyte each at worst
_SHARD = re.compile(r"(^|[-_.])\d+(-of-\d+)?(-[0-9a-f]{16})?$")  # behind a split's name, the last to tell versions
_Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class _Part:
    """One split: its columns with their kinds, and its rows with the columns that are asked for."""

    features: Mapping[str, Any]
    count: int
    rows: Callable[[list[str]], Iterator[_Row]]


def has_dataset(folder: Path) -> bool:
    """Whether `folder` was written by `save_to_disk`, or has Parquet files in it or below."""
    return _is_saved(folder) or bool(_parquet_files(folder))


def read_dataset(folder: Path, asked: Asked) -> Source:
    """The images of the data set in `folder`, of which `asked` names the columns that their kinds do not tell.

    Raises:
        DataError: if it is damaged, of several configurations, has no splits that are known, or its columns leave
            open which are meant. While the items are read, if an image is not in the folder or a label has no name.
        MissingDependencyError: without the package `datasets`.
    """
    package = offline_package()
    parts = _saved_parts(package, folder) if _is_saved(folder) else _parquet_parts(package, folder)
    splits = known_splits(folder, {name: split_named(name) for name in parts})
    columns = {name: choose_columns(folder, parts[name].features, asked, package) for name in splits}
    items = (item for name in splits for item in _items(folder, parts[name], columns[name], splits[name], package))
    left_out = tuple(name for name in parts if name not in splits)
    return Source(folder, sum(parts[name].count for name in splits), items, asked.concepts, left_out)


def offline_package() -> Any:
    """The module `datasets`, imported so that it asks no server and tells none of its use.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    # Read once, at the import; they stay set for what this process imports later.
    os.environ.update(dict.fromkeys(_SWITCHES, "1"))
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise MissingDependencyError(missing_message("datasets", _REQUIREMENT, str(error))) from error


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _SAVED)


def _saved_parts(package: Any, folder: Path) -> dict[str, _Part]:
    try:
        found = package.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's and json's own are among them
        raise DataError(
            f"{folder}: expected what save_to_disk wrote, got: {error}. Save the data set again."
        ) from error
    splits = dict(found) if isinstance(found, package.DatasetDict) else {str(found.split or "all"): found}
    return {str(name): _Part(split.features, len(split), _saved_rows(folder, split)) for name, split in splits.items()}


def _saved_rows(folder: Path, split: Any) -> Callable[[list[str]], Iterator[_Row]]:
    def rows(columns: list[str]) -> Iterator[_Row]:
        # As Arrow, since any other format would decode the images, of which the files' own bytes are wanted.
        try:
            for table in split.select_columns(columns).with_format("arrow").iter(_ROWS_AT_ONCE):
                yield from table.to_pylist()
        except (OSError, ValueError) as error:
            raise DataError(f"{folder}: expected whole Arrow data, got: {error}. Save the data set again.") from error

    return rows


def _parquet_files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.parquet"))
    return [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]


def _parquet_parts(package: Any, folder: Path) -> dict[str, _Part]:
    parquet = importlib.import_module("pyarrow.parquet")
    files: dict[str, list[Path]] = {}
    homes: set[str] = set()
    for file in _parquet_files(folder):
        split, home = _split_and_home(file.relative_to(folder))
        files.setdefault(split, []).append(file)
        homes.add(home)
    if len(homes) > 1:
        raise DataError(
            f"{folder}: expected Parquet files of one data set, got some in each of {', '.join(sorted(homes))}. "
            "Import one of these folders."
        )
    return {split: _parquet_part(package, parquet, paths) for split, paths in files.items()}


def _split_and_home(file: Path) -> tuple[str, str]:
    """What the split of a Parquet `file` is called, and the folder of its data set.

    >>> _split_and_home(Path("data/train-00000-of-00001.parquet")), _split_and_home(Path("plain/test/0000.parquet"))
    (('train', 'data'), ('test', 'plain'))
    """
    name = _SHARD.sub("", file.stem)
    by_folder = not name and file.parent.name
    return (file.parent.name, str(file.parent.parent)) if by_folder else (name or file.stem, str(file.parent))


def _parquet_part(package: Any, parquet: Any, files: Sequence[Path]) -> _Part:
    opened = [_opened(parquet, file) for file in files]
    features = package.Features.from_arrow_schema(opened[0].schema_arrow)
    for file, other in zip(files, opened, strict=True):
        if other.schema_arrow.names != opened[0].schema_arrow.names:
            raise DataError(f"{file}: expected the columns of {files[0].name}, got others. Put it elsewhere.")

    def rows(columns: list[str]) -> Iterator[_Row]:
        for file, each in zip(files, opened, strict=True):
            try:
                for batch in each.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
                    yield from batch.to_pylist()
            except (OSError, ValueError) as error:
                raise DataError(f"{file}: expected whole Parquet data, got: {error}. Replace it.") from error

    return _Part(features, sum(each.metadata.num_rows for each in opened), rows)


def _opened(parquet: Any, file: Path) -> Any:
    try:
        return parquet.ParquetFile(file)
    except (OSError, ValueError) as error:  # pyarrow's own errors are both
        raise DataError(
            f"{file}: expected a Parquet file, got: {error}. Replace it; in a clone that holds only pointers to its "
            "files, run: git lfs pull"
        ) from error


def _items(folder: Path, part: _Part, columns: Columns, split: str | None, package: Any) -> Iterator[Item]:
    read_pixels = pixels_reader(folder, part.features[columns.image], package)
    texts = {name: text_reader(folder, name, part.features[name], package) for name in columns.texts}
    for row in part.rows([columns.image, *columns.texts]):
        content, suffix = read_pixels(row[columns.image])
        cells = {name: read(row[name]) for name, read in texts.items()}
        concepts = {name: text for name in columns.concepts if (text := cells[name]) is not None}
        yield Item(content, suffix, cells[columns.label], split, concepts)
