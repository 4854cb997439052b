"""Numbers and names as a report writes them."""

from __future__ import annotations

from collections.abc import Sequence

from hkd_edge.evaluate.result import Accuracy
from hkd_edge.report.page import NOTHING


def percent(value: float | None) -> str:
    """Two digits after the point, or the sign for nothing."""
    return NOTHING if value is None else f"{value:.2f}"


def milliseconds(value: float | None) -> str:
    """Three significant digits or more below a second.

    >>> milliseconds(0.2041), milliseconds(12.345), milliseconds(130.4)
    ('0.204', '12.35', '130.4')
    """
    if value is None:
        return NOTHING
    return f"{value:.3f}" if value < 10 else f"{value:.2f}" if value < 100 else f"{value:,.1f}"


def size(size_bytes: int) -> str:
    """In kB or MB of 1000 bytes.

    >>> size(107_512), size(12_345_678)
    ('108 kB', '12.3 MB')
    """
    return f"{size_bytes / 1e3:,.0f} kB" if size_bytes < 1e6 else f"{size_bytes / 1e6:,.1f} MB"


def megabytes(size_bytes: int | None) -> str:
    """In MB of 1000 kB, without the unit."""
    return NOTHING if size_bytes is None else f"{size_bytes / 1e6:.1f}"


def duration(seconds: float) -> str:
    """As people say it.

    >>> duration(0.006), duration(12.34), duration(754.2)
    ('0.0 s', '12.3 s', '12 min 34 s')
    """
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


def interval(accuracy: Accuracy) -> str:
    """The two ends of top-1's interval."""
    return f"{accuracy.top1_interval.low:.2f} to {accuracy.top1_interval.high:.2f}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def shortened(name: str, letters: int) -> str:
    """At most so many letters of a name, for where room is short.

    >>> shortened("Ankle boot", 6)
    'Ankle…'
    """
    return name if len(name) <= letters else name[: letters - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
