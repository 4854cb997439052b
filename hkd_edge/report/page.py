"""Pages of sections, tables and figures: one self-contained HTML file without scripts, light and dark, wide and narrow.

What is text is escaped; only `Markup` is taken for HTML. `hkd-edge report` and `hkd-edge compare` are made of these.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from hkd_edge.report.theme import css_variables

# What a table shows for what there is not, so that an empty cell never looks forgotten.
NOTHING = "\N{EN DASH}"
_NUMBER = re.compile(rf"[-+]?[\d,]+(\.\d+)?( to [-+]?[\d,]+(\.\d+)?)?( ?[%x])?|{NOTHING}")
_LONG_CELL = 28  # letters; a column with longer texts gets room for them, and the table scrolls where there is none
_TEMPLATES = Path(__file__).with_name("templates")

Tone = Literal["good", "bad", "caution", "quiet"]


@dataclass(frozen=True)
class Section:
    """One headed part of a page; its anchor is made of its title."""

    title: str
    html: Markup

    @property
    def anchor(self) -> str:
        """The id that links lead to.

        >>> Section("Speed & size", Markup("")).anchor
        'speed-size'
        """
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def render_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole HTML file. With the same arguments it has the same bytes.

    Raises:
        ValueError: if two sections have the same anchor.
    """
    anchors = [section.anchor for section in sections]
    if len(set(anchors)) < len(anchors):
        raise ValueError(f"sections: expected a title of its own for each, got {[each.title for each in sections]}.")
    return (
        _template("page.html").render(
            title=title,
            subtitle=subtitle,
            sections=sections,
            light=Markup(css_variables("light")),
            dark=Markup(css_variables("dark")),
            css=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        )
        + "\n"
    )


def table(caption: str, headers: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> Markup:
    """A table that scrolls in its own box; the first cell of a row is its header, columns of numbers go to the right.

    Raises:
        ValueError: if a row has another number of cells than there are headers.
    """
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f"rows: expected {len(headers)} cells like the headers, got {len(row)}: {list(row)}.")
    kinds = [_kind([row[column] for row in rows]) for column in range(len(headers))]
    return Markup(_template("table.html").render(caption=caption, headers=headers, rows=rows, kinds=kinds, note=note))


def figure(svg: Markup, caption: str) -> Markup:
    """A drawing with its caption; a wide one scrolls in its own box on a narrow screen."""
    return Markup(
        '<figure class="plot"><div class="scroll" tabindex="0" role="group" aria-label="{0}">{1}</div>'
        "<figcaption>{0}</figcaption></figure>"
    ).format(caption, svg)


def columns(parts: Sequence[Markup]) -> Markup:
    """Parts side by side where there is room, else below each other."""
    return Markup('<div class="columns">{}</div>').format(Markup("").join(parts))


def paragraph(*parts: str | Markup) -> Markup:
    """Text; what is no `Markup` is escaped."""
    return Markup("<p>{}</p>").format(Markup("").join(parts))


def badge(text: str, tone: Tone) -> Markup:
    """A short word whose colour says the same once more."""
    return Markup('<span class="badge {}">{}</span>').format(tone, text)


def folded(title: str, html: Markup) -> Markup:
    """What is shown on demand, and on paper always."""
    return Markup("<details><summary>{}</summary>{}</details>").format(title, html)


def preformatted(text: str) -> Markup:
    """Text as it stands, in its own scrolling box."""
    return Markup('<pre class="scroll" tabindex="0">{}</pre>').format(text)


def _kind(cells: Sequence[str]) -> str:
    """The CSS class of a column: of numbers, of long texts, or none."""
    if cells and all(_NUMBER.fullmatch(cell) for cell in cells):
        return "number"
    return "long" if any(len(Markup(cell).striptags()) > _LONG_CELL for cell in cells) else ""


@functools.cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(name: str) -> Template:
    return _templates().get_template(name)
