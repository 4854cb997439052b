"""Where the pictures come from: photographs cut out of their surroundings, and photographs of surroundings.

Both are taken from Debian packages, unpacked into the user's cache; nothing of them is kept in this repository, and
nothing that is made of them should be handed on, since their licences differ (GPL-2; CC-BY-SA-3.0 and 4.0, CC-BY-4.0,
CC0-1.0: see the `copyright` file of each).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tests.data.drawn import draw
from tests.debian import PrivateApt, made_once, unpack, user_cache

# Cut-outs, GPL-2. Of the 430 that are neither drawn, symbols nor mirrored, those of which a class has three or more.
STAMPS = "tuxpaint-stamps-default"
_STAMPS_AT = "usr/share/tuxpaint/stamps"
# Surroundings: GPL-2+; CC-BY-4.0, CC-BY-SA-4.0 and CC0-1.0; CC-BY-SA-3.0.
SCENES = {
    "mate-backgrounds": "usr/share/backgrounds/mate/nature",
    "lomiri-wallpapers-16.04": "usr/share/backgrounds",
    "scratch": "usr/share/scratch/Media/Backgrounds",
}
# Drawings, test pictures and panels of one colour among them.
_NO_SCENES = frozenset(
    (
        *("Aqua", "Wood", "analogpattern_by_Peter_Nerlich", "free_by_Peter_Nerlich", "greentock_by_Peter_Nerlich"),
        *("umang_by_Abhishek_Mudgal", "Picture_0B_by_freespace", "chalkboard", "party-room", "room1", "room2", "room3"),
        *("spotlight-stage", "woods-and-bench", "school2", "moon"),
    )
)
# concept / concept / class: cut-outs, each a thing of its own.
CLASSES: Mapping[str, tuple[str, ...]] = {
    "animals/birds/duck": ("drake", "duck", "gander"),
    "animals/birds/fowl": ("hen", "rooster", "chicken_profile", "turkey"),
    "animals/birds/penguin": ("little-penguin", "magellanic_penguin", "penguin"),
    "animals/birds/wader": ("heron_greatblue", "pink_flamingo", "crowned_crane"),
    "animals/mammals/bigcat": ("lion", "lion-2", "tiger", "tiger_sumatran"),
    "animals/mammals/cattle": ("bull", "cow", "cow_white", "yak", "zebu", "bison"),
    "animals/mammals/deer": ("caribou", "deer", "doe", "wapiti"),
    "animals/mammals/equine": ("donkey", "donkey_eating", "horse", "zebra"),
    "animals/mammals/pig": ("pig", "pig_golden", "pig_golden2", "wildboar"),
    "animals/mammals/rabbit": ("rabbit", "rabbit-2", "rabbit_little"),
    "animals/sea/fish": ("bluegroper", "butterflyfish", "coraltrout", "dolphinfish", "stripedfish"),
    "animals/sea/whale": ("dolphin", "orca", "whale"),
    "plants/flowers/red": ("anemone_red", "flower10", "rose", "chuvanna_plastic_poo"),
    "plants/flowers/violet": ("flower1", "flower4", "iris", "pigface"),
    "plants/flowers/yellow": ("daffodil", "flower2", "flower5", "marigold"),
    "plants/fruit/apple": ("apple_fuji", "apple_granny_smith", "apple_green", "apple_red", "apple_sierra_beauty"),
    "plants/fruit/berry": ("Cherry_Stella", "Strawberry2", "raspberry", "strawberry"),
    "plants/fruit/citrus": ("lemon", "mandarine", "orange", "orange_seville"),
    "plants/vegetables/bulb": ("garlic", "garlics", "onion"),
    "plants/vegetables/leaf": ("broccoli", "lettuce", "redlettuce"),
    "plants/vegetables/pepper": ("chilepepper", "pepper", "yellowpepper"),
    "things/sport/ball": ("basketball", "cricketball", "football", "soccer", "tennis_ball"),
    "things/sport/guitar": ("guitar2", "guitar_classical", "guitar_electric", "guitar_electric_bass"),
    "things/vehicles/car": ("beetle", "sedan", "sedan_police", "sportscar2"),
    "things/vehicles/lorry": ("firetruck", "garbagetruck", "green_korean_bus", "truck"),
}
_LARGEST = 400  # pixels that a cut-out's longer side keeps: more than is ever asked for
_LARGEST_SCENE = 1200
_APT = "apt"


@dataclass(frozen=True)
class Sources:
    """Pictures to compose from.

    Attributes:
        things: by `concept/concept/class`, then by name: RGBA, no border, things to be put somewhere.
        scenes: RGB, places to put them, in an order that does not depend on the machine.
        made_of: what they are, with versions, for who wants to make the same again.
    """

    things: Mapping[str, Mapping[str, Image.Image]]
    scenes: tuple[Image.Image, ...]
    made_of: tuple[str, ...]


def photographs() -> Sources:
    """Photographs from Debian packages, fetched at first (about 250 MB) and kept.

    Raises:
        UnavailableError: where apt, the packages or their files cannot be had.
    """
    folder = user_cache("photographs") / "1"
    with made_once(folder) as unfinished:
        if unfinished is not None:
            _fetch(unfinished)
    stamps = {path.stem: path for path in sorted((folder / STAMPS / _STAMPS_AT).rglob("*.png"))}
    things = {label: {name: _cut_out(stamps[name]) for name in names} for label, names in CLASSES.items()}
    found = [path for name, place in SCENES.items() for path in sorted((folder / name / place).rglob("*.jpg"))]
    scenes = tuple(_scene(path) for path in found if path.stem not in _NO_SCENES)
    return Sources(things, scenes, tuple((folder / "packages.txt").read_text(encoding="utf-8").splitlines()))


def drawn() -> Sources:
    """Drawn shapes instead, in the same two levels: nothing is fetched, and small networks learn them."""
    shapes = {
        "round/flat/ball": "ball",
        "round/hollow/ring": "ring",
        "edged/four/box": "box",
        "edged/three/wedge": "wedge",
    }
    things = {
        label: {f"{shape}-{number}": _shape(shape, number) for number in range(3)} for label, shape in shapes.items()
    }
    scenes = tuple(draw("box", 1000 + number, (320, 240)).filter(ImageFilter.GaussianBlur(12)) for number in range(8))
    return Sources(things, scenes, ("drawn shapes",))


def _fetch(folder: Path) -> None:
    apt = PrivateApt(folder / _APT)
    apt.update()
    versions = []
    for name in (STAMPS, *SCENES):
        [archive] = apt.download(name)
        unpack([archive], folder / name)
        versions.append(" ".join(archive.stem.replace("%3a", ":").split("_")[:2]))
        archive.unlink()
    (folder / "packages.txt").write_text("\n".join(versions), encoding="utf-8")


def _cut_out(path: Path) -> Image.Image:
    with Image.open(path) as stamp:
        thing = stamp.convert("RGBA")
    return _shrunk(thing.crop(thing.getchannel("A").getbbox()), _LARGEST)


def _scene(path: Path) -> Image.Image:
    with Image.open(path) as photograph:
        photograph.draft("RGB", (_LARGEST_SCENE, _LARGEST_SCENE))  # a JPEG is decoded no larger than it is needed
        return _shrunk(photograph.convert("RGB"), _LARGEST_SCENE)


def _shrunk(image: Image.Image, largest: int) -> Image.Image:
    image.thumbnail((largest, largest))
    return image


def _shape(label: str, number: int) -> Image.Image:
    """A shape of a colour and texture of its own, RGBA."""
    generator = np.random.default_rng([number, len(label)])
    side = 160
    mask = Image.new("L", (side, side), 0)
    pen, around = ImageDraw.Draw(mask), (8, 8, side - 8, side - 8)
    if label == "ball":
        pen.ellipse(around, fill=255)
    elif label == "ring":
        pen.ellipse(around, outline=255, width=30 + 5 * number)
    else:
        pen.regular_polygon((side / 2, side / 2, side / 2 - 8), 4 if label == "box" else 3, fill=255)
    colour = generator.integers(140, 256, 3)
    texture = np.clip(colour + generator.normal(0, 12, (side, side, 1)), 0, 255).astype(np.uint8)
    thing = Image.fromarray(texture)
    thing.putalpha(mask)
    return thing.crop(mask.getbbox())
