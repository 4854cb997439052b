"""The first trials of searches, drawn for all methods together: two methods try the same values of what they share."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np

from hkd_edge.study.ranges import Range, Value

# A control that draws other weights than the method that it stands against would be judged by its luck.
_DRAWN_LIKE = {"distill.weights.concept_labels": "distill.weights.concept"}


def first_draws(ranges: Mapping[str, Range], whole_numbers: set[str], count: int, seed: int) -> list[dict[str, Value]]:
    """`count` sets of values of `ranges`; those of a key depend on its range, `count` and `seed` alone.

    Latin hypercube (McKay, Beckman and Conover, Technometrics 21, 1979): each range is cut into `count` equal parts, on
    its own scale, and each part gives one value, in an order that is drawn for each key.
    """
    columns = {name: _column(name, given, name in whole_numbers, count, seed) for name, given in ranges.items()}
    return [{name: values[number] for name, values in columns.items()} for number in range(count)]


def _column(name: str, given: Range, whole: bool, count: int, seed: int) -> list[Value]:
    stream = zlib.crc32(_DRAWN_LIKE.get(name, name).encode())
    generator = np.random.default_rng([seed, stream])
    shares = (generator.permutation(count) + generator.random(count)) / count
    return [_at(given, float(share), whole) for share in shares]


def _at(given: Range, share: float, whole: bool) -> Value:
    """The value at `share` (0 to 1) of a range, or the choice there."""
    if isinstance(given, list):
        choice: Value = given[int(share * len(given))]
        return choice
    low, high = given["low"], given["high"]
    value = low * math.exp(share * math.log(high / low)) if given.get("log") else low + share * (high - low)
    return round(value) if whole else float(value)
