"""One picture: a thing somewhere in a scene, in any size and light, as a camera would have kept it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tests.photographs.sources import Sources

# (width, height) in pixels: lying, standing, square, wide, and odd numbers.
SIZES = ((320, 240), (240, 320), (256, 256), (400, 225), (301, 199), (180, 320), (160, 120), (480, 360))
_PNG_SHARE = 0.08
SCENES_KEPT_BACK = 4  # one scene of so many is kept for pictures that are to judge


def scenes_of(sources: Sources, *, unseen: bool) -> tuple[Image.Image, ...]:
    """The scenes to train with, or those that are kept back."""
    every = enumerate(sources.scenes)
    return tuple(scene for number, scene in every if (number % SCENES_KEPT_BACK == 0) is unseen)


def write_pictures(
    root: Path,
    sources: Sources,
    count: int,
    seed: int,
    *,
    unseen: bool = False,
    sizes: Sequence[tuple[int, int]] = SIZES,
) -> list[Path]:
    """Writes `count` pictures, equally many of each class, as `root/concept/concept/class/THING_NNNN.jpg` or `.png`."""
    scenes, written = scenes_of(sources, unseen=unseen), []
    labels = sorted(sources.things)
    for number in range(count):
        label = labels[number % len(labels)]
        generator = np.random.default_rng([seed, int(unseen), number])
        names = sorted(sources.things[label])
        name = names[number // len(labels) % len(names)]
        picture = compose(sources.things[label][name], scenes, sizes, generator)
        (root / label).mkdir(parents=True, exist_ok=True)
        written.append(_save(picture, root / label / f"{name}_{number:04}", generator))
    return written


def compose(
    thing: Image.Image,
    scenes: Sequence[Image.Image],
    sizes: Sequence[tuple[int, int]],
    generator: np.random.Generator,
) -> Image.Image:
    """A picture (RGB) of `thing` (RGBA), which is mirrored or not and turned, in 0.45 to 0.95 of the shorter side."""
    width, height = sizes[generator.integers(len(sizes))]
    size = (width, height)
    picture = _lit(_part(scenes[generator.integers(len(scenes))], size, generator), generator, 0.25)
    turned = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.random() < 0.5 else thing
    turned = turned.rotate(generator.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True)
    scale = generator.uniform(0.45, 0.95) * min(size) / max(turned.size)
    turned = turned.resize((max(1, round(turned.width * scale)), max(1, round(turned.height * scale))))
    lit = _lit(turned.convert("RGB"), generator, 0.35)
    reach = [max(0, whole - part) for whole, part in zip(size, turned.size, strict=True)]
    place = tuple(int(generator.integers(0, room + 1)) for room in reach)
    picture.paste(lit, place, turned.getchannel("A").filter(ImageFilter.GaussianBlur(0.6)))
    picture = picture.filter(ImageFilter.GaussianBlur(generator.uniform(0, 0.8)))
    return _noisy(picture, generator)


def _part(scene: Image.Image, size: tuple[int, int], generator: np.random.Generator) -> Image.Image:
    """A part of `scene` with the aspect of `size`, resized to it."""
    width, height = size
    scale = min(scene.width / width, scene.height / height) * generator.uniform(0.35, 1)
    box_width, box_height = width * scale, height * scale
    left = generator.uniform(0, scene.width - box_width)
    top = generator.uniform(0, scene.height - box_height)
    return scene.resize(size, Image.Resampling.BILINEAR, (left, top, left + box_width, top + box_height))


def _lit(image: Image.Image, generator: np.random.Generator, reach: float) -> Image.Image:
    """`image` in a light of any strength and colour, stronger from one side."""
    rows, columns = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
    angle = generator.uniform(0, 2 * np.pi)
    slope = 0.2 * (np.cos(angle) * columns + np.sin(angle) * rows)
    colour = generator.uniform(1 - reach, 1 + reach) * generator.uniform(0.92, 1.08, 3)
    return _as_image(np.asarray(image) * ((1 + slope)[..., None] * colour))


def _noisy(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image)
    return _as_image(pixels + generator.normal(0, generator.uniform(0, 8), (*pixels.shape[:2], 1)))


def _as_image(levels: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def _save(picture: Image.Image, stem: Path, generator: np.random.Generator) -> Path:
    if generator.random() < _PNG_SHARE:
        path = stem.with_name(f"{stem.name}.png")
        picture.save(path)
        return path
    path = stem.with_name(f"{stem.name}.jpg")
    picture.save(path, quality=int(generator.integers(70, 96)))
    return path
