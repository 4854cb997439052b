"""`python -m tests.photographs FOLDER`: a folder of photographs with planted faults, to try the toolchain on."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from tests.photographs.compose import write_pictures
from tests.photographs.plants import flatten, plant
from tests.photographs.sources import drawn, photographs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="new folder to write")
    parser.add_argument("--images", type=int, default=2400, help="before faults are planted (default 2400)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drawn", action="store_true", help="drawn shapes, for which nothing is fetched")
    parser.add_argument("--unseen", action="store_true", help="in scenes that are kept back, and without faults")
    parser.add_argument("--flat", type=Path, help="the same images again, without the folders above their classes")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    sources = drawn() if options.drawn else photographs()
    pictures = write_pictures(options.folder, sources, options.images, options.seed, unseen=options.unseen)
    print("\n".join([f"{len(pictures):,} pictures of {len(sources.things)} classes, from:", *sources.made_of]))
    if not options.unseen:
        for kind, planted in asdict(plant(options.folder, pictures)).items():
            print(f"planted {kind}: {planted}")
    if options.flat is not None:
        flatten(options.folder, options.flat)


if __name__ == "__main__":
    main()
