"""Colours by what they mean, for light and dark. Pages and plots name them, CSS variables choose.

Blue, orange, green and purple are Okabe and Ito's hues, which colour-blind people tell apart (Color Universal Design,
2008), made darker for white paper and lighter for dark screens. No plot tells things apart by colour alone.
"""

from __future__ import annotations

from typing import Literal

Theme = Literal["light", "dark"]

# name: (light, dark). What is written is legible on `page` and `panel`: at least 4.5:1 (WCAG 2.2, 1.4.3).
COLOURS: dict[str, tuple[str, str]] = {
    "page": ("#fdfdfc", "#14171c"),
    "panel": ("#f4f3f0", "#1d2129"),
    "line": ("#dddbd5", "#363d48"),
    "axis": ("#85898f", "#7a828e"),
    "ink": ("#1c1e21", "#e9eaec"),
    "quiet": ("#585d64", "#a9afb8"),
    "link": ("#0b5cad", "#86b9f5"),
    "good": ("#0a6848", "#5cc99a"),
    "bad": ("#a5301a", "#ff9a80"),
    "caution": ("#755000", "#e3b341"),
    "series-1": ("#0f62ae", "#74b0f4"),
    "series-2": ("#ac4e00", "#f2a35e"),
    "series-3": ("#007257", "#4fc7a3"),
    "series-4": ("#8a3f8f", "#d59ae0"),
}
WRITTEN = ("ink", "quiet", "link", "good", "bad", "caution", "series-1", "series-2", "series-3", "series-4")
SERIES = ("series-1", "series-2", "series-3", "series-4")
_PLACEHOLDERS = {name: f"#fe00{index:02x}" for index, name in enumerate(COLOURS)}


def css_variables(theme: Theme) -> str:
    """The declarations `--name: colour;` of one theme."""
    column = 0 if theme == "light" else 1
    return " ".join(f"--{name}: {pair[column]};" for name, pair in COLOURS.items())


def placeholder(name: str) -> str:
    """The colour that stands for `name` while a plot is drawn; `with_variables` puts the variable in its place.

    Raises:
        KeyError: for a name that is not in COLOURS.
    """
    return _PLACEHOLDERS[name]


def with_variables(svg: str) -> str:
    """The drawing with each placeholder replaced by the CSS variable of its name."""
    for name in COLOURS:
        svg = svg.replace(placeholder(name), f"var(--{name})")
    return svg


def contrast_ratio(first: str, second: str) -> float:
    """The ratio of two #rrggbb colours' luminances, 1 to 21 (WCAG 2.2, definitions of contrast ratio and luminance).

    >>> round(contrast_ratio("#000000", "#ffffff"), 1)
    21.0
    """
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def mix(over: str, under: str, opacity: float) -> str:
    """What is seen of #rrggbb `over` with `opacity` (0 to 1) on `under`.

    >>> mix("#000000", "#ffffff", 0.2)
    '#cccccc'
    """
    pairs = zip(_channels(over), _channels(under), strict=True)
    return "#" + "".join(f"{round(top * opacity + below * (1 - opacity)):02x}" for top, below in pairs)


def _channels(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue


def _luminance(colour: str) -> float:
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (channel / 255 for channel in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
