"""Lists the links that lead out of the repository: `python -m docs.tools.external_links`. Nothing is fetched."""

from __future__ import annotations

from pathlib import Path

from docs.tools.markdown import links

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = (".", "docs", "runtime", "examples")


def external_links(root: Path) -> list[str]:
    """`URL  FILE:LINE` of each, sorted."""
    pages = {page for folder in _FOLDERS for page in (root / folder).glob("*.md")}
    pages |= set((root / "examples").rglob("*.md"))
    return sorted(
        f"{link.path}  {page.relative_to(root)}:{link.line}"
        for page in pages
        for link in links(page.read_text(encoding="utf-8"))
        if link.is_external
    )


if __name__ == "__main__":
    print("\n".join(external_links(ROOT)))
