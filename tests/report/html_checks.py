"""What every page must be, whatever it shows: well formed, self-contained and told in words."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A parsed page: its elements with their attributes, its text, and what is wrong with it.

    Attributes:
        elements: (tag, attributes, tags around it) in order.
        problems: in words; empty for a page that is as it should be.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.text = ""
        self.problems: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        if self._open:
            self.problems.append(f"never closed: {self._open}")
        self._check()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self._open)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()} closes something else")

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of this tag."""
        return [attributes for found, attributes, _ in self.elements if found == tag]

    def _check(self) -> None:
        ids = [attributes["id"] for _, attributes, _ in self.elements if "id" in attributes]
        self.problems += [f"id {each} twice" for each in set(ids) if ids.count(each) > 1]
        for tag, attributes, _ in self.elements:
            self.problems += _problems_of(tag, attributes, set(ids))


def _problems_of(tag: str, attributes: dict[str, str | None], ids: set[str | None]) -> list[str]:
    found = []
    if tag == "script" or any(name.startswith("on") for name in attributes):
        found.append(f"{tag}: a script")
    for name in ("src", "href", "xlink:href", "action", "poster", "srcset"):
        target = attributes.get(name) or ""
        if target and not target.startswith(("#", "data:")):
            found.append(f"{tag}: {name} leads outside: {target[:60]}")
        if target.startswith("#") and target[1:] not in ids:
            found.append(f"{tag}: {target} leads nowhere")
    if tag == "img" and not attributes.get("alt"):
        found.append("img without alt")
    if tag == "svg" and not {*(attributes.get("aria-labelledby") or "-").split()} <= ids:
        found.append("svg without a title")
    if tag == "th" and attributes.get("scope") not in ("col", "row"):
        found.append("th without scope")
    return found
