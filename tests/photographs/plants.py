"""Faults and oddities that folders of people's photographs have, planted among good pictures, each with what it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ORIENTATION = 0x0112  # the EXIF tag
# What EXIF's value says was done to the upright picture before it was stored, undone in this way when it is shown.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Plants:
    """Names below the root of what was planted.

    Attributes:
        unreadable: files with an image's name that nobody can read, by what is wrong with them.
        odd: images of an unusual kind that must be read, by kind.
        turned: images stored turned, by EXIF's value.
        copies: pairs of equal pixels, by kind; `across` is in two classes.
        near: pairs of one picture saved in two ways that are found, by way.
        unfound: the same for ways that are not looked for.
        ignored: files that are no images, and files that are hidden.
        empty: folders without an image.
    """

    unreadable: dict[str, str]
    odd: dict[str, str]
    turned: dict[int, str]
    copies: dict[str, tuple[str, str]]
    near: dict[str, tuple[str, str]]
    unfound: dict[str, tuple[str, str]]
    ignored: tuple[str, ...]
    hidden: tuple[str, ...]
    empty: tuple[str, ...]


def plant(root: Path, pictures: list[Path]) -> Plants:
    """Plants one of each into the folder `root` of `pictures`; each is made of a picture of its own."""
    jpegs = iter([path for path in pictures if path.suffix == ".jpg"])

    def name(path: Path) -> str:
        return path.relative_to(root).as_posix()

    def beside(kind: str, suffix: str, make: Callable[[Path, Path], None]) -> tuple[str, str]:
        """The names of the next picture and of a new file beside it that `make` writes from it."""
        source = next(jpegs)
        made = source.with_name(f"planted-{kind}{suffix}")
        make(source, made)
        return name(source), name(made)

    unreadable = {kind: beside(kind, suffix, make)[1] for kind, (suffix, make) in _BROKEN.items()}
    odd = {kind: _replaced(root, next(jpegs), kind, suffix, make) for kind, (suffix, make) in _ODD.items()}
    turned = {value: _turned(root, next(jpegs), value) for value in STORED}
    copies = {kind: beside(kind, suffix, make) for kind, (suffix, make) in _SAME.items()}
    source, other = _of_two_classes(pictures)
    shutil.copy(source, other.with_name("planted-stranger.jpg"))
    copies["across"] = (name(source), name(other.with_name("planted-stranger.jpg")))
    near = {kind: beside(kind, suffix, make) for kind, (suffix, make) in _NEAR.items()}
    unfound = {kind: beside(kind, ".jpg", make) for kind, make in {"mirrored": _mirrored, "cropped": _cropped}.items()}
    return Plants(
        unreadable,
        odd,
        turned,
        copies,
        near,
        unfound,
        tuple(_written(root, each) for each in ("notes.txt", "album/Thumbs.db")),
        tuple(_written(root, each) for each in (".DS_Store", f"{name(pictures[0].parent)}/._{pictures[0].name}")),
        tuple(_folder(root, each) for each in (f"{name(pictures[0].parent.parent)}/nothing-yet",)),
    )


def lone_class(root: Path, pictures: list[Path]) -> str:
    """Plants a class of a single image; its name."""
    folder = pictures[0].parent.with_name("lone")
    folder.mkdir()
    shutil.move(pictures[-1], folder / "only.jpg")
    return folder.name


def contradiction(root: Path, pictures: list[Path]) -> str:
    """Plants a class in a second concept; its name."""
    first, other = pictures[0], next(path for path in pictures if path.parent.parent != pictures[0].parent.parent)
    folder = other.parent.with_name(first.parent.name)
    folder.mkdir()
    shutil.copy(first, folder / "again.jpg")
    return first.parent.name


def stray_image(root: Path, pictures: list[Path]) -> str:
    """Plants an image that is in no class, since it lies beside the folders of classes; its name."""
    return Path(shutil.copy(pictures[0], pictures[0].parent.parent / "stray.jpg")).relative_to(root).as_posix()


def flatten(root: Path, flat: Path) -> Path:
    """The images of `root/concept/.../class/NAME` as `flat/class/NAME`, without the concepts."""
    for path in root.rglob("*"):
        if path.is_file() and path.parent != root and not path.name.startswith("."):
            (flat / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, flat / path.parent.name / path.name)
    return flat


def _copy(source: Path, made: Path) -> None:
    shutil.copy(source, made)


def _truncated(source: Path, made: Path) -> None:
    content = source.read_bytes()
    made.write_bytes(content[: len(content) // 2])


def _truncated_png(source: Path, made: Path) -> None:
    with Image.open(source) as image:
        image.save(made)
    made.write_bytes(made.read_bytes()[:2000])


def _text(_: Path, made: Path) -> None:
    made.write_text("This is no picture.\n", encoding="utf-8")


def _zero_bytes(_: Path, made: Path) -> None:
    made.touch()


def _dangling(_: Path, made: Path) -> None:
    made.symlink_to("is-not-there.jpg")


_BROKEN: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "truncated": (".jpg", _truncated),
    "truncated-png": (".png", _truncated_png),
    "text": (".jpg", _text),
    "zero-bytes": (".jpeg", _zero_bytes),
    "dangling-link": (".jpg", _dangling),
}


def _grey(image: Image.Image) -> Image.Image:
    return image.convert("L")


def _sixteen_bit(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("I").point(lambda level: level * 257).convert("I;16")


def _transparent(image: Image.Image) -> Image.Image:
    image.putalpha(image.convert("L").point(lambda level: 255 if level > 40 else 0))
    return image


_ODD: dict[str, tuple[str, Callable[[Image.Image], Image.Image]]] = {
    "grey": (".jpg", _grey),
    "cmyk": (".jpg", lambda image: image.convert("CMYK")),
    "sixteen-bit": (".png", _sixteen_bit),
    "palette": (".png", lambda image: image.quantize(64)),
    "transparent": (".png", _transparent),
    "webp": (".webp", lambda image: image),
    "bmp": (".bmp", lambda image: image),
}


def _replaced(root: Path, source: Path, kind: str, suffix: str, make: Callable[[Image.Image], Image.Image]) -> str:
    """Saves a picture in another kind in the place of the old one: two of them would be near duplicates."""
    made = source.with_name(f"planted-{kind}{suffix}")
    with Image.open(source) as image:
        make(image.copy()).save(made)
    source.unlink()
    return made.relative_to(root).as_posix()


def _turned(root: Path, source: Path, value: int) -> str:
    made = source.with_name(f"planted-turned-{value}.jpg")
    exif = Image.Exif()
    exif[ORIENTATION] = value
    with Image.open(source) as image:
        image.transpose(STORED[value]).save(made, exif=exif, quality=92)
    source.unlink()
    return made.relative_to(root).as_posix()


def _saved(**options: int) -> Callable[[Path, Path], None]:
    def save(source: Path, made: Path) -> None:
        with Image.open(source) as image:
            image.save(made, **options)

    return save


def _halved(source: Path, made: Path) -> None:
    with Image.open(source) as image:
        image.resize((image.width // 2, image.height // 2)).save(made, quality=90)


def _mirrored(source: Path, made: Path) -> None:
    with Image.open(source) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(made, quality=92)


def _cropped(source: Path, made: Path) -> None:
    with Image.open(source) as image:
        image.crop((image.width // 8, image.height // 8, image.width, image.height)).save(made, quality=92)


_SAME: dict[str, tuple[str, Callable[[Path, Path], None]]] = {"copy": (".jpg", _copy), "as-png": (".png", _saved())}
_NEAR: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "saved-again": (".jpg", _saved(quality=60)),
    "halved": (".jpg", _halved),
}


def _of_two_classes(pictures: list[Path]) -> tuple[Path, Path]:
    """The last JPEG, and a picture of another class."""
    source = [path for path in pictures if path.suffix == ".jpg"][-1]
    return source, next(path for path in pictures if path.parent != source.parent)


def _written(root: Path, name: str) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"nothing that anybody reads")
    return name


def _folder(root: Path, name: str) -> str:
    (root / name).mkdir(parents=True)
    return name
