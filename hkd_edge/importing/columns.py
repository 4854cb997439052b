"""The columns of a Hugging Face data set: which of them are images, classes and concepts, and what their values say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from hkd_edge.errors import DataError
from hkd_edge.importing.source import suffix_for, to_png
from hkd_edge_runtime.errors import did_you_mean

_UNKNOWN = -1  # what data sets write where a label is kept back
_TEXT_TYPES = ("string", "large_string", "bool")
_BYTES_TYPES = ("binary", "large_binary")
_ReadText: TypeAlias = Callable[[Any], "str | None"]
_ReadPixels: TypeAlias = Callable[[Any], "tuple[bytes, str]"]


@dataclass(frozen=True)
class Asked:
    """The columns that the user names; None where the kinds of the columns shall tell."""

    image: str | None = None
    label: str | None = None
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Columns:
    """The columns that are read."""

    image: str
    label: str
    concepts: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Those that become cells of the list, each once."""
        return tuple(dict.fromkeys((self.label, *self.concepts)))


def choose_columns(folder: Path, features: Mapping[str, Any], asked: Asked, package: Any) -> Columns:
    """The columns of images, classes and concepts among `features`; those that are not `asked` for by their kinds.

    Raises:
        DataError: if a column that is asked for is not there or of another kind, or if not exactly one is of the kind.
    """
    for name in (asked.image, asked.label, *asked.concepts):
        if name is not None and name not in features:
            near = did_you_mean(name, list(features))
            raise DataError(f"{folder}: expected one of the columns {_told(features)}, got {name}.{near} Name another.")
    images = (name for name, feature in features.items() if _is_image(feature, package))
    labels = (
        name
        for name, feature in features.items()
        if isinstance(feature, package.ClassLabel) and name not in asked.concepts
    )
    return Columns(
        asked.image or _only(folder, features, images, "images", "--image"),
        asked.label or _only(folder, features, labels, "class labels", "--label"),
        asked.concepts,
    )


def _only(folder: Path, features: Mapping[str, Any], names: Iterable[str], kind: str, option: str) -> str:
    found = list(names)
    if len(found) == 1:
        return found[0]
    told = f"{', '.join(found)}" if found else f"none among {_told(features)}"
    raise DataError(f"{folder}: expected one column of {kind}, got {told}. Name the column by {option}.")


def _told(features: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({_kind(feature)})" for name, feature in features.items())


def _kind(feature: Any) -> str:
    # Images and labels have a dtype too, that of what they are stored as.
    kind = type(feature).__name__
    return str(feature.dtype) if kind == "Value" else kind


def _is_image(feature: Any, package: Any) -> bool:
    return isinstance(feature, package.Image) or _is_bare_image(feature) or _is_array(feature, package)


def _is_bare_image(feature: Any) -> bool:
    """Whether it is what an image is stored as; Parquet files that `datasets` did not write say no more."""
    return isinstance(feature, dict) and set(feature) == {"bytes", "path"}


def _is_array(feature: Any, package: Any) -> bool:
    return isinstance(feature, package.Array2D | package.Array3D) and feature.dtype == "uint8"


def pixels_reader(folder: Path, feature: Any, package: Any) -> _ReadPixels:
    """The function by which a value of the column becomes an image file's bytes and suffix; of no image, no bytes.

    Raises:
        DataError: if the column is no column of images.
    """
    if isinstance(feature, package.Image) or _is_bare_image(feature):
        return lambda value: _file(folder, value)
    if getattr(feature, "dtype", None) in _BYTES_TYPES:
        return lambda value: _file(folder, {"bytes": value, "path": None})
    if _is_array(feature, package):
        return lambda value: (b"" if value is None else to_png(np.asarray(value, np.uint8)), ".png")
    raise DataError(
        f"{folder}: expected a column of images, of bytes or of uint8 arrays, got {_kind(feature)}. "
        "Name another by --image."
    )


def _file(folder: Path, value: Mapping[str, Any] | None) -> tuple[bytes, str]:
    path = str(value.get("path") or "") if value else ""
    content = value.get("bytes") if value else None
    if content is None and path:
        content = _inside(folder, path)
    return content or b"", suffix_for(content or b"", path)


def _inside(folder: Path, path: str) -> bytes:
    """The bytes of a file of the data set itself: a list from elsewhere shall not copy any file of this machine."""
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise DataError(
            f"{folder}: expected images in it, got only the address {path!r} of one, and none is fetched. "
            "Save the data set anew where its images are: save_to_disk puts them in."
        )
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: expected an image that can be read, got: {error.strerror}. Mend its rights."
        ) from error


def text_reader(folder: Path, name: str, feature: Any, package: Any) -> _ReadText:
    """The function by which a value of the column `name` becomes a class or concept; -1, nothing and blanks are none.

    Raises:
        DataError: if the column has neither labels, texts nor whole numbers; the function, for a label without a name.
    """
    if isinstance(feature, package.ClassLabel):
        return lambda value: _name_of(folder, name, feature.names, value)
    kind = str(getattr(feature, "dtype", ""))
    if kind in _TEXT_TYPES or kind.startswith(("int", "uint")):
        return lambda value: None if value is None or value == _UNKNOWN else str(value).strip() or None
    raise DataError(
        f"{folder}: expected column {name} to be of labels, texts or whole numbers, got {_kind(feature)}. Name another."
    )


def _name_of(folder: Path, column: str, names: list[str], value: int | None) -> str | None:
    if value is None or value == _UNKNOWN:
        return None
    if not 0 <= value < len(names):
        raise DataError(
            f"{folder}: expected labels 0 to {len(names) - 1} in column {column}, got {value}. Save the data set again."
        )
    return names[value]
