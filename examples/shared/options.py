"""What the command lines of the examples have in common."""

from __future__ import annotations

import argparse


def add_threshold(parser: argparse.ArgumentParser) -> None:
    """Adds `--threshold`, which `Answer.label_or_concept` takes: a number from 0 to 1, or None."""
    parser.add_argument(
        "--threshold",
        type=_probability,
        metavar="P",
        help="say a class or concept from this score on, 0 to 1 (default: what the bundle says for each)",
    )


def _probability(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return number
