"""A folder of images, a folder for each class at any depth, and the groups that its levels make."""

from __future__ import annotations

from pathlib import Path

from hkd_edge.errors import DataError
from hkd_edge_runtime.hierarchy import SILENT, Axis, Hierarchy

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
_TRAINING_PART = "train"


def class_files(folder: Path) -> dict[str, list[Path]]:
    """The image files of each class, by the name of the folder they lie in; of the part `train` if there is one.

    What starts with `.` or `_` is passed over.

    Raises:
        DataError: if there is no such folder, no image, or two folders of one name with images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder with a subfolder of images for each class, found none.")
    found: dict[str, list[Path]] = {}
    for place in _folders(_root(folder)):
        files = [entry for entry in _visible(place) if entry.is_file() and entry.suffix.lower() in _SUFFIXES]
        if files and place.name in found:
            raise DataError(
                f"{place}: expected one folder for each class, got {found[place.name][0].parent} too. Rename one."
            )
        if files:
            found[place.name] = files
    if not found:
        raise DataError(f"{folder}: expected subfolders with images ({', '.join(_SUFFIXES)}), found no image in any.")
    return found


def hierarchy_of_levels(folder: Path) -> Hierarchy:
    """The hierarchy that folders within folders make: an axis for each level above the classes.

    Raises:
        DataError: as `class_files`; also if the classes are not nested, so that there is no hierarchy.
    """
    files = class_files(folder)
    above = {name: paths[0].parent.relative_to(_root(folder)).parts[:-1] for name, paths in files.items()}
    depth = max(map(len, above.values()))
    if depth == 0:
        raise DataError(
            f"{folder}: expected classes in folders of concepts (concept/class/image.jpg), got {len(files)} classes "
            f"side by side. Group them: hkd-edge concepts suggest {folder}"
        )
    return Hierarchy(tuple(files), tuple(_axis(level, above) for level in range(depth)))


def _axis(level: int, above: dict[str, tuple[str, ...]]) -> Axis:
    homes = ["/".join(parts[: level + 1]) if len(parts) > level else "" for parts in above.values()]
    concepts = tuple(dict.fromkeys(home for home in homes if home))
    return Axis(f"level_{level + 1}", concepts, tuple(concepts.index(home) if home else SILENT for home in homes))


def _root(folder: Path) -> Path:
    return folder / _TRAINING_PART if (folder / _TRAINING_PART).is_dir() else folder


def _folders(folder: Path) -> list[Path]:
    """All folders below, parents first, each level by name."""
    below = [entry for entry in _visible(folder) if entry.is_dir()]
    return [place for child in below for place in (child, *_folders(child))]


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "_")))
