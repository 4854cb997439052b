"""Decoded images kept in the user's cache, so that a later command does not decode them again.

One folder for each source and size holds the images as .npy (mapped into memory when read), and what was found of them
as .json. Both are named by a key over path, size, mtime and ctime of every file, the code that decodes, and Pillow's
version. Contents are not hashed for the key, since that would read all files again; whoever changes a file's content
changes its ctime, which no program can set back. What is read from the cache is checked against the SHA-256 of every
image. Images that do not fit into memory stay there and are read batch by batch (`hkd_edge.data.stored`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import PIL

from hkd_edge.data import duplicates, pictures
from hkd_edge.data.listing import Listing
from hkd_edge.data.memory import fits_into_memory
from hkd_edge.data.pictures import Decoded, Picture, Room, Tell, decode, digest_of
from hkd_edge.data.stored import Pixels, StoredImages
from hkd_edge_runtime import preprocess
from hkd_edge_runtime.files import sha256_file, write_atomically, write_json_atomically


def decoded(
    listing: Listing, size: tuple[int, int], color: str, tell: Tell, memory_mb: int | None = None
) -> tuple[Decoded, duplicates.Pairs, str]:
    """The images of `listing` from the cache or decoded now, their near duplicates, and in words where they are from.

    What does not fit into memory (see `memory.fits_into_memory`) stays in the cache's file.

    Raises:
        DataError: if they fit neither into memory nor into the cache.
    """
    folder = cache_folder() / _digest([str(listing.root.resolve()), size, color])[:16]
    key = _key(listing, size, color)
    if (found := _read(folder, key, memory_mb)) is not None:
        return *found, _where("from the cache", found[0])
    fresh = decode(listing.entries, size, color, tell, Room(folder / f"{key}.npy", memory_mb))
    pairs = duplicates.near_pairs(fresh.images, [picture.sha256 for picture in fresh.pictures if picture])
    try:
        _write(folder, key, fresh, pairs)
    except OSError as error:
        return fresh, pairs, f"decoded now; they could not be kept for the next time: {error}"
    return fresh, pairs, _where("decoded now", fresh)


def cache_folder() -> Path:
    """Where decoded images are kept; it may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hkd-edge" / "images"


def _where(made: str, images: Decoded) -> str:
    stays = isinstance(images.images, StoredImages)
    return f"{made}; they do not fit into memory and are read from the cache's file batch by batch" if stays else made


def _key(listing: Listing, size: tuple[int, int], color: str) -> str:
    code = [sha256_file(module.__file__ or "") for module in (preprocess, pictures, duplicates)]
    files = [(str(entry.path), *_stamp(entry.path)) for entry in listing.entries]
    return _digest([code, PIL.__version__, size, color, files])


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode("utf-8", "surrogatepass")).hexdigest()


def _read(folder: Path, key: str, memory_mb: int | None) -> tuple[Decoded, duplicates.Pairs] | None:
    """What was kept under `key`; None if nothing, or if it is damaged."""
    try:
        kept = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        stored = StoredImages.open(folder / f"{key}.npy")
        fits = fits_into_memory(len(stored), stored.shape[1:], memory_mb)
        images: Pixels = np.load(folder / f"{key}.npy", mmap_mode="r", allow_pickle=False) if fits else stored
        found = tuple(None if picture is None else Picture(**picture) for picture in kept["pictures"])
        readable: Sequence[Picture] = [picture for picture in found if picture is not None]
        if len(images) != len(readable):
            return None
        if any(digest_of(images[index]) != picture.sha256 for index, picture in enumerate(readable)):
            return None
        pairs = np.asarray(kept["near_pairs"], dtype=np.int64).reshape(-1, 2)
        return Decoded(images, found, tuple(kept["reasons"])), pairs
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(folder: Path, key: str, fresh: Decoded, pairs: duplicates.Pairs) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not isinstance(fresh.images, StoredImages):
        with write_atomically(folder / f"{key}.npy") as temporary:
            np.save(temporary, fresh.images[:])
    kept = {
        "pictures": [picture and asdict(picture) for picture in fresh.pictures],
        "reasons": fresh.reasons,
        "near_pairs": pairs.tolist(),
    }
    write_json_atomically(folder / f"{key}.json", kept)  # last: where it is, the images are whole
    for stale in folder.iterdir():
        if stale.stem != key and not stale.name.startswith("."):
            stale.unlink(missing_ok=True)
