"""Drawn colour pictures that have something of photographs: texture, light from one side, noise, any place and turn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Two levels: what is above the classes, and the classes.
KINDS = {"round": ("ball", "ring"), "cornered": ("box", "wedge")}
CLASSES = tuple(sorted(name for names in KINDS.values() for name in names))


def draw(label: str, seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A picture (width, height) of a thing of class `label`; each seed gives another."""
    generator = np.random.default_rng([seed, CLASSES.index(label)])
    width, height = size
    picture = Image.fromarray(_textured(generator, size, generator.integers(20, 110, 3)))
    mask = Image.new("L", size, 0)
    centre = (width * generator.uniform(0.35, 0.65), height * generator.uniform(0.35, 0.65))
    _shape(ImageDraw.Draw(mask), label, centre, height * generator.uniform(0.25, 0.4), generator.uniform(0, 360))
    thing = Image.fromarray(_textured(generator, size, generator.integers(140, 255, 3)))
    picture.paste(thing, mask=mask.filter(ImageFilter.GaussianBlur(0.7)))
    return picture


def _textured(generator: np.random.Generator, size: tuple[int, int], colour: np.ndarray) -> np.ndarray:
    width, height = size
    angle = generator.uniform(0, 2 * math.pi)
    rows, columns = np.mgrid[:height, :width] / max(size)
    light = 1 + 0.4 * (math.cos(angle) * columns + math.sin(angle) * rows)
    noise = generator.normal(0, 12, (height, width, 1))
    return np.clip(colour * light[..., None] + noise, 0, 255).astype(np.uint8)


def _shape(draw: ImageDraw.ImageDraw, label: str, centre: tuple[float, float], radius: float, turn: float) -> None:
    x, y = centre
    around = (x - radius, y - radius, x + radius, y + radius)
    if label == "ball":
        draw.ellipse(around, fill=255)
    elif label == "ring":
        draw.ellipse(around, outline=255, width=max(2, round(radius / 3)))
    else:
        draw.regular_polygon((centre, radius * 1.1), 4 if label == "box" else 3, rotation=turn, fill=255)


def write_pictures(
    root: Path,
    each: int,
    *,
    nested: bool = True,
    start: int = 0,
    size: tuple[int, int] = (96, 72),
    suffix: str = ".jpg",
) -> Path:
    """Writes `each` pictures of every class below `root`, as `kind/class/NNNN.jpg` or without the kind."""
    for kind, labels in KINDS.items():
        for label in labels:
            folder = root / kind / label if nested else root / label
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(start, start + each):
                draw(label, number, size).save(
                    folder / f"{number:04}{suffix}", **({"quality": 92} if suffix == ".jpg" else {})
                )
    return root


def write_unlabelled(root: Path, each: int, start: int = 500) -> Path:
    """Writes `each` more pictures of every class below `root`, in `kind/_unlabelled`."""
    for kind, labels in KINDS.items():
        (root / kind / "_unlabelled").mkdir(parents=True, exist_ok=True)
        for label in labels:
            for number in range(start, start + each):
                draw(label, number).save(root / kind / "_unlabelled" / f"{label}{number}.jpg", quality=92)
    return root
