"""The section of a recipe that names the images and says how they are split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hkd_edge.recipe.section import MAX_SEED, REQUIRED, Section, key, path_key

OWN_IMAGES = ("folder", "list")  # the data sets that are the user's own files
FROM_DATA = "folders"  # the value of concepts.hierarchy that takes the concepts which the data come with
_ROOTS = {"folder": "the folder of images", "list": "the CSV or Parquet file that lists the images"}
_OF_OWN_IMAGES = (
    *("image_size", "color", "group_by", "test_fraction", "max_unreadable", "group_near_duplicates", "memory_mb"),
)

Side = Annotated[int, Field(ge=4)]  # pixels; smaller pictures show nothing


def _both_sides(value: Any) -> Any:
    return [value, value] if isinstance(value, int) and not isinstance(value, bool) else value


ImageSize = Annotated[
    tuple[Side, ...],
    BeforeValidator(
        _both_sides,
        json_schema_input_type=Annotated[
            tuple[Side, ...],
            Field(min_length=2, max_length=2, json_schema_extra={"expected": "one side in pixels or [height, width]"}),
        ]
        | Side,
    ),
    Field(strict=False, min_length=2, max_length=2),
]


class Data(Section):
    """The images, and how they are split. Keys that only folders and lists have are left out for other data sets."""

    dataset: Literal["fashion_mnist", "digits", "folder", "list"] = key(
        REQUIRED, "Name of the data set; folder = your own folder of images, list = a CSV or Parquet list of them."
    )
    root: str | None = path_key(
        None,
        "Folder that holds the data set's files, or the list's file, from the recipe's folder; null = the default "
        "folder of a named data set.",
    )
    download: bool = key(True, "Whether missing files of a named data set may be downloaded.")
    image_size: ImageSize | None = key(
        None,
        "For folder and list: height and width in pixels that every image is fitted to, one number for a square.",
        typical="32 to 224",
    )
    color: Literal["auto", "rgb", "grey"] = key(
        "auto", "For folder and list: colours that the student sees; auto = grey if every image is grey, or else rgb."
    )
    validation_fraction: float = key(
        0.1,
        "Share (0 to 1) of the training images held out for validation; not used where the data name their own.",
        typical="0.05 to 0.2",
        gt=0,
        lt=1,
    )
    test_fraction: float = key(
        0.15,
        "For folder and list: share (0 to 1) of all images held out for the test; not used where the data name "
        "their own.",
        typical="0.1 to 0.25",
        gt=0,
        lt=1,
    )
    split_seed: int = key(0, "Seed of the split into training, validation and test images.", ge=0, le=MAX_SEED)
    label_fraction: float = key(
        1.0,
        "Share (0 to 1) of each class's training images whose fine label may be used; the concepts of all are known.",
        typical="0.01 to 1",
        gt=0,
        le=1,
    )
    label_seed: int = key(0, "Seed of which images these are.", ge=0, le=MAX_SEED)
    unlabelled_classes: Annotated[tuple[str, ...], Field(strict=False)] = key(
        (), "Classes none of whose images keeps its fine label, for studies of unmet cases.", typical='["Coat"]'
    )
    group_by: str | None = key(
        None,
        "For folder and list: regular expression on the file name; images for which it finds the same text (that of "
        "its brackets, if it has any) are of one group, such as a burst or an object, and stay on one side of a split.",
        expected='a regular expression such as "^(.+)_[0-9]+"',
        min_length=1,
    )
    group_near_duplicates: bool = key(
        True, "For folder and list: whether near duplicates stay on one side of a split, as exact ones always do."
    )
    max_unreadable: float = key(
        0.01,
        "For folder and list: largest share (0 to 1) of images that may be unreadable and are left out; more is an "
        "error.",
        typical="0 to 0.05",
        ge=0,
        lt=1,
    )
    memory_mb: int | None = key(
        None,
        "For folder and list: memory in MB (10^6 bytes) that decoded images may take, two copies counted; more of them "
        "stay in a file and are read batch by batch, to the same result; null = half of what is free.",
        ge=1,
    )
    balance: Literal["none", "weights"] = key(
        "none",
        "Whether rare classes count for more: weights = the cross-entropy with the labels weighs each image by N / "
        "(C * n), n of N training images being of its class, one of C.",
    )


def broken_data(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every broken rule of the section `data`, with the key to blame."""
    dataset = data.get("dataset")
    if dataset in OWN_IMAGES:
        yield from _needed(data, str(dataset))
    elif isinstance(dataset, str):
        for name in _OF_OWN_IMAGES:
            default = Data.model_fields[name].default
            if data.get(name, default) != default:
                yield (
                    name,
                    f"expected none for data set {dataset}, which is fixed. Leave it out; folder and list have it.",
                )
    yield from _pattern(data.get("group_by"))


def _needed(data: Mapping[str, Any], dataset: str) -> Iterator[tuple[str, str]]:
    if data.get("root") is None:
        yield "root", f"expected {_ROOTS[dataset]} for data set {dataset}, got null. Name it: root: PATH."
    if data.get("image_size") is None:
        yield (
            "image_size",
            f"expected height and width in pixels for data set {dataset}, got null. For example image_size: 64; "
            "`hkd-edge data check` recommends one.",
        )


def _pattern(pattern: Any) -> Iterator[tuple[str, str]]:
    import re

    try:
        re.compile(pattern if isinstance(pattern, str) else "")
    except re.error as error:
        yield "group_by", f"expected a regular expression, got {pattern!r}: {error}. Mend it, or leave it out."
