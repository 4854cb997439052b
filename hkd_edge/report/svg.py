"""Matplotlib's drawings as inline SVG: text stays text, colours follow the theme, and bytes repeat."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from hkd_edge.report.theme import placeholder, with_variables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONT_PX = 11.5
SMALL_PX = 10.5
# A drawing fills a column of the page; below this share of its own width its text would be too small to read.
_LEAST_SCALE, _LARGEST_SCALE = 0.8, 1.35
_PX_PER_INCH = 72  # matplotlib's SVG has points for its unit, 72 of them in an inch: one unit is one px of the viewBox
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hkd-edge",
    "text.parse_math": False,  # a class may be called "$5 & more"
    "axes.formatter.useoffset": False,
    "font.family": ["sans-serif"],
    "font.size": FONT_PX,
    "axes.titlesize": FONT_PX,
    "axes.labelsize": FONT_PX,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "legend.fontsize": SMALL_PX,
    "legend.frameon": False,
    "xtick.labelsize": SMALL_PX,
    "ytick.labelsize": SMALL_PX,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
}
_COLOURED = {
    "text.color": "ink",
    "axes.labelcolor": "quiet",
    "axes.titlecolor": "ink",
    "axes.edgecolor": "axis",
    "xtick.color": "quiet",
    "ytick.color": "quiet",
    "grid.color": "line",
}
_DROPPED = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
_OPENING = re.compile(r"<svg [^>]*>")
_FONT = re.compile(r"font-family: [^;\"]*")
_REFERENCE = re.compile(r"(?:xlink:href=\"#|url\(#)([^\")]+)")


def draw(name: str, title: str, size_px: tuple[float, float], paint: Callable[[Figure], str]) -> Markup:
    """The drawing that `paint` makes on an empty figure; `paint` returns in words what numbers it shows.

    `name` is the drawing's id on its page; title and words are what a screen reader says of it.
    """
    import matplotlib
    from matplotlib.figure import Figure

    coloured: dict[Any, Any] = {key: placeholder(colour) for key, colour in _COLOURED.items()}
    width, height = size_px
    stream = io.StringIO()
    with matplotlib.rc_context({**_STYLE, **coloured}), warnings.catch_warnings():
        # The browser has glyphs that matplotlib's own font, by which it only measures, has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure((width / _PX_PER_INCH, height / _PX_PER_INCH), dpi=_PX_PER_INCH, layout="constrained")
        description = paint(figure)
        figure.savefig(
            stream, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return Markup(_inline(stream.getvalue(), name, title, description, width, height))


def frame(axes: Axes, x_label: str = "", y_label: str = "") -> None:
    """Quiet axes with a grid; labels say what is measured and in which unit."""
    axes.grid(visible=True)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)


def _inline(svg: str, name: str, title: str, description: str, width: float, height: float) -> str:
    body = _OPENING.sub("", _DROPPED.sub("", svg), count=1).strip()
    body = _with_own_ids(body, name).replace("xlink:href", "href")
    body = _FONT.sub("font-family: var(--sans)", with_variables(body))
    opening = (
        f'<svg role="img" viewBox="0 0 {width:g} {height:g}" aria-labelledby="{name}-title {name}-description" '
        f'style="min-width: {_LEAST_SCALE * width:g}px; max-width: {_LARGEST_SCALE * width:g}px">'
    )
    head = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-description">{escape(description)}</desc>'
    return f"{opening}{head}{body}"


def _with_own_ids(svg: str, name: str) -> str:
    """Ids that are referred to are numbered under `name`, so that drawings on a page do not meet; the rest go."""
    numbers = {old: f"{name}-{index}" for index, old in enumerate(dict.fromkeys(_REFERENCE.findall(svg)))}
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{numbers[found[1]]}"' if found[1] in numbers else "", svg)
    return _REFERENCE.sub(lambda found: found[0].replace(found[1], numbers[found[1]]), svg)
