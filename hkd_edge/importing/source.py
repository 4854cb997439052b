"""What is imported: the bytes of image files, each with what its source says of it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hkd_edge.data.listing import IMAGE_SUFFIXES, SPLITS, TEST, TRAIN, suffix_of
from hkd_edge.errors import DataError

_SPLITS = {**SPLITS, "t10k": TEST}  # the last is MNIST's name of its test images
_HELD_OUT = tuple(name for name, split in _SPLITS.items() if split != TRAIN)
_BEGINNINGS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}
_UNKNOWN_SUFFIX = ".bin"


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        content: an image file's bytes; empty where the source has none.
        label: its class, or None where the source does not tell it.
        split: `train`, `validation` or `test`, or None where the source has no splits.
        concepts: its concept by axis; axes that are silent on it are left out.
    """

    content: bytes
    suffix: str
    label: str | None
    split: str | None
    concepts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """The images of a folder in another tool's form, read while `items` is gone through, once.

    Attributes:
        count: how many `items` there are.
        axes: the names of the axes that their concepts are on.
        left_out: splits that are not read, since they are for neither training, validation nor test.
    """

    root: Path
    count: int
    items: Iterator[Item]
    axes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def split_named(name: str) -> str | None:
    """`train`, `validation` or `test`, if that is what `name` means.

    >>> split_named("Valid"), split_named("t10k"), split_named("extra")
    ('validation', 'test', None)
    """
    return _SPLITS.get(name.lower())


def known_splits(root: Path, meanings: Mapping[str, str | None]) -> dict[str, str | None]:
    """Those of `meanings`, by name, that are a split; a single one that is not `train` as images without splits.

    Raises:
        DataError: for several of which none is to be trained on.
    """
    known: dict[str, str | None] = {name: split for name, split in meanings.items() if split is not None}
    if TRAIN in known.values():
        return known
    if len(meanings) == 1:
        return dict.fromkeys(meanings)
    raise DataError(
        f"{root}: expected a split named train, beside which others may be named {', '.join(_HELD_OUT)}, "
        f"got {', '.join(meanings)}. Rename them, or keep one of them in a folder of its own."
    )


def suffix_for(content: bytes, name: str) -> str:
    """The suffix of a file of `content` by how it begins; where that tells nothing, the one of its old `name`.

    >>> suffix_for(b"\\xff\\xd8\\xff...", "a.png"), suffix_for(b"?", "a.JP2"), suffix_for(b"?", "")
    ('.jpg', '.jp2', '.bin')
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    found = (suffix for beginning, suffix in _BEGINNINGS.items() if content.startswith(beginning))
    own = suffix_of(name)
    return next(found, own if own in IMAGE_SUFFIXES else _UNKNOWN_SUFFIX)


def to_png(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG file of `pixels` (H, W), (H, W, 1) or (H, W, 3)."""
    grey = pixels.ndim == 3 and pixels.shape[2] == 1
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels)).save(file, "PNG")
    return file.getvalue()
