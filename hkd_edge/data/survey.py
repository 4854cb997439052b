"""All images of a folder or list, opened once: what a run is made from and `hkd-edge data check` tells of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hkd_edge.data.duplicates import Pairs, exact_pairs
from hkd_edge.data.folder import list_folder
from hkd_edge.data.listing import Entry, Listing, grouped
from hkd_edge.data.picture_cache import decoded
from hkd_edge.data.pictures import Picture, Tell
from hkd_edge.data.stored import Pixels
from hkd_edge.data.table import list_table

LISTERS = {"folder": list_folder, "list": list_table}


@dataclass(frozen=True)
class Survey:
    """The N readable images of a listing, in its order.

    Attributes:
        images: uint8 (N, H, W, C), fitted.
        unreadable: name and reason of each file that could not be read.
        exact, near: pairs (P, 2) of duplicates, see `duplicates`.
        made: in words, where the images come from.
    """

    listing: Listing
    entries: tuple[Entry, ...]
    images: Pixels
    pictures: tuple[Picture, ...]
    unreadable: tuple[tuple[str, str], ...]
    exact: Pairs
    near: Pairs
    made: str

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of which there are readable images, sorted."""
        return tuple(sorted({entry.label for entry in self.entries if entry.label is not None}))


def survey_images(
    dataset: str,
    root: Path,
    size: tuple[int, int],
    color: str,
    group_by: str | None,
    tell: Tell,
    memory_mb: int | None = None,
) -> Survey:
    """The images of the `folder` or `list` at `root`, fitted to `size` (H, W) in `color` (auto, rgb or grey).

    Images that do not fit into `memory_mb` stay in a file, see `picture_cache.decoded`.

    Raises:
        DataError: as `list_folder` and `list_table`, and if the images fit neither into memory nor onto the disk.
    """
    listing = LISTERS[dataset](root)
    listing = replace(listing, entries=grouped(listing.entries, group_by))
    found, near, made = decoded(listing, size, color, tell, memory_mb)
    seen = list(zip(listing.entries, found.pictures, found.reasons, strict=True))
    pictures = tuple(picture for _, picture, _ in seen if picture is not None)
    return Survey(
        listing,
        tuple(entry for entry, picture, _ in seen if picture is not None),
        found.images,
        pictures,
        tuple((entry.name, reason) for entry, picture, reason in seen if picture is None),
        exact_pairs([picture.sha256 for picture in pictures]),
        near,
        made,
    )
