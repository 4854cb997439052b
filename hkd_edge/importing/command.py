"""`hkd-edge data import`: finds out what a folder is, has it written as a list, and tells what was done."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from hkd_edge.data.pictures import Tell
from hkd_edge.errors import DataError
from hkd_edge.importing.columns import Asked
from hkd_edge.importing.huggingface import has_dataset, read_dataset
from hkd_edge.importing.idx_folder import has_idx_files, read_idx_folder
from hkd_edge.importing.source import Source
from hkd_edge.importing.write import LIST_NAME, Written, refuse_existing, write_list


def import_images(source: Path, folder: Path, asked: Asked, classes: Path | None, tell: Tell) -> Iterator[str]:
    """Writes the images of `source` to `folder`, and yields what to tell of it.

    Raises:
        DataError: as `read_dataset`, `read_idx_folder` and `write_list`, if `source` is neither, or if an option is of
            the other.
        MissingDependencyError: for Hugging Face data sets without the package `datasets`.
    """
    refuse_existing(folder)
    opened = _open(source, asked, classes)
    yield from _lines(opened, write_list(opened, folder, tell), folder)


def _open(source: Path, asked: Asked, classes: Path | None) -> Source:
    if not source.is_dir():
        raise DataError(f"{source}: expected a folder, found none. Check the path.")
    if not os.access(source, os.R_OK | os.X_OK):
        raise DataError(f"{source}: expected a folder that can be read, got one that cannot. Mend its rights.")
    if has_dataset(source):
        if classes is not None:
            raise DataError(f"{source}: expected --classes with idx files only, got Hugging Face's. Leave it out.")
        return read_dataset(source, asked)
    if has_idx_files(source):
        if asked != Asked():
            raise DataError(f"{source}: expected columns with Hugging Face's data sets only, got idx. Leave them out.")
        return read_idx_folder(source, classes)
    raise DataError(
        f"{source}: expected what datasets.save_to_disk wrote, Parquet files, or idx files (train-images-idx3-ubyte.gz "
        f"and such), got {_found(source)}. Folders of images and lists need no import: hkd-edge data check SOURCE"
    )


def _found(folder: Path) -> str:
    names = sorted(file.name for file in folder.iterdir())
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "nothing"


def _lines(source: Source, written: Written, folder: Path) -> Iterator[str]:
    without = written.classes[None]
    beside = f", {without:,} of them without a class" if without else ""
    classes = sum(label is not None for label in written.classes)
    yield f"images       {sum(written.classes.values()):,} of {classes} classes{beside}"
    yield f"splits       {_counts(written.splits) or 'none, a run makes its own'}"
    if written.left_out:
        yield f"left out     {_counts(written.left_out)}"
    if source.left_out:
        yield f"not read     {', '.join(source.left_out)}: neither training, validation nor test"
    table = folder / LIST_NAME
    yield f"list         {table}"
    yield f"next: hkd-edge init PROJECT --data {shlex.quote(str(table))}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
