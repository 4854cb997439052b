"""Links between the Markdown files lead somewhere, on a code host and so on the site that is made of them."""

from __future__ import annotations

import pytest

from docs.tools.external_links import external_links
from docs.tools.markdown import anchor, anchors, code_blocks, links, replace_links
from tests.docs.markdown_files import MARKDOWN, ROOT, text_of


@pytest.mark.parametrize("name", MARKDOWN)
def test_links_lead_somewhere(name: str) -> None:
    wrong = []
    for link in links(text_of(name)):
        if link.is_external:
            continue
        target = (ROOT / name).parent / link.path if link.path else ROOT / name
        if not target.exists():
            wrong.append(f"{name}:{link.line}: no file {link.path}")
        elif link.anchor and link.anchor not in anchors(target.read_text(encoding="utf-8")):
            wrong.append(f"{name}:{link.line}: no heading #{link.anchor} in {target.name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", MARKDOWN)
def test_links_stay_in_the_repository_or_say_https(name: str) -> None:
    for link in links(text_of(name)):
        if link.is_external:
            assert link.path.startswith(("https://", "mailto:")), link
        else:
            assert not link.path.startswith("/"), link
            assert ((ROOT / name).parent / link.path).resolve().is_relative_to(ROOT), link


def test_every_page_of_docs_is_reached_from_its_index() -> None:
    reached = {link.path for link in links(text_of("docs/index.md"))}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages <= reached


def test_links_are_found_outside_of_code_alone() -> None:
    text = "a [b](c.md#d)\n\n```\n[no](no.md)\n```\n\n`[no](no.md)` [e [f]](g(h).md)\n"
    assert [(link.path, link.anchor, link.line) for link in links(text)] == [("c.md", "d", 1), ("g(h).md", "", 7)]
    assert replace_links(text, str.upper).count("[no](no.md)") == 2
    assert "[b](C.MD#D)" in replace_links(text, str.upper)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("What is told, and what is refused", "what-is-told-and-what-is-refused"),
        ("INT8 on CPUs: unsigned, half", "int8-on-cpus-unsigned-half"),
        ("A / B", "a--b"),
        ("`load` and [more](x.md)", "load-and-more"),
        ("python -m hkd_edge_runtime", "python--m-hkd_edge_runtime"),
    ],
)
def test_anchors_are_those_of_code_hosts(title: str, expected: str) -> None:
    assert anchor(title) == expected


def test_repeated_headings_get_numbers() -> None:
    assert anchors("# A\n\n## B\n\n## B\n\n```\n# not this\n```\n") == {"a", "b", "b-1"}


def test_blocks_have_their_language_and_line() -> None:
    blocks = code_blocks("x\n\n```python\na\nb\n```\n\n- y\n\n  ```\n  c\n  ```\n")
    assert [(block.language, block.text, block.line) for block in blocks] == [("python", "a\nb\n", 4), ("", "c\n", 11)]


def test_external_links_are_listed_with_their_places() -> None:
    listed = external_links(ROOT)
    assert len(listed) == sum(link.is_external for name in MARKDOWN for link in links(text_of(name)))
    assert any(line.startswith("https://keepachangelog.com/") and "CHANGELOG.md:" in line for line in listed)
