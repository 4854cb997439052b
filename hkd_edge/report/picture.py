"""A drawing as a file of its own, which browsers and image viewers show in the reader's theme."""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import Markup

from hkd_edge.report.theme import css_variables
from hkd_edge_runtime.files import write_atomically

_STYLE_ATTRIBUTE = re.compile(r' style="[^"]*"', re.DOTALL)
_VIEW_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def write_picture(path: Path, drawing: Markup) -> None:
    """Writes what `hkd_edge.report.svg.draw` made as a standalone SVG file."""
    with write_atomically(path) as temporary:
        temporary.write_text(standalone(drawing), encoding="utf-8")


def standalone(drawing: Markup) -> str:
    """The drawing with its size, the colours of both themes, a background and a font: all that a page would give it."""
    opening, rest = str(drawing).split(">", 1)
    size = _VIEW_BOX.search(opening)
    if size is None:
        raise ValueError(f"drawing: expected the opening tag of draw(), got {opening[:80]!r}.")
    opening = _STYLE_ATTRIBUTE.sub("", opening).replace(
        "<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[1]}" height="{size[2]}" ', 1
    )
    # Quotes around nothing: a style sheet inside XML is text, and these declarations hold no markup.
    css = (
        f":root {{ color-scheme: light dark; --sans: system-ui, sans-serif; {css_variables('light')} }} "
        f"@media (prefers-color-scheme: dark) {{ :root {{ {css_variables('dark')} }} }}"
    )
    paper = '<rect width="100%" height="100%" fill="var(--page)"/>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{opening}><style>{css}</style>{paper}{rest}\n'
