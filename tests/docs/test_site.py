"""The static site: every page is in it, and it asks nobody else for anything."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from docs.tools.markdown import links
from docs.tools.site import STAGED, stage, staged_path
from tests.docs.markdown_files import ROOT, text_of

# HTML's ways to make a browser fetch something by itself.
_FETCHES = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "object": "data"}


class Fetched(HTMLParser):
    """Collects what a page makes a browser fetch, and the anchors and links in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        url = found.get(_FETCHES.get(tag, ""))
        if url and found.get("rel") not in ("canonical", "next", "prev", "alternate"):
            self.urls.append(url)
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if found.get("id"):
            self.anchors.add(str(found["id"]))


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("staged")
    stage(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    if importlib.util.find_spec("zensical") is None:
        pytest.skip('Zensical is not installed: pip install ".[docs]"')
    project = tmp_path_factory.mktemp("project")
    stage(ROOT, project / STAGED.relative_to(ROOT))
    shutil.copy(ROOT / "mkdocs.yml", project)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return project / "build" / "site"


def test_every_link_of_a_gathered_page_leads_to_another(staged: Path) -> None:
    wrong = [
        f"{page.relative_to(staged)}:{link.line}: {link.path}"
        for page in staged.rglob("*.md")
        if "source" not in page.relative_to(staged).parts
        for link in links(page.read_text(encoding="utf-8"))
        if link.path and not link.is_external and not (page.parent / link.path).is_file()
    ]
    assert not wrong


def test_the_navigation_has_every_page_and_no_other(staged: Path) -> None:
    named = set(re.findall(r": ([\w/-]+\.md)$", text_of("mkdocs.yml"), re.MULTILINE))
    pages = {staged_path(path.relative_to(ROOT).as_posix()) for path in (ROOT / "docs").glob("*.md")}
    assert pages <= named
    assert all((staged / page).is_file() for page in named)


def test_gathering_again_removes_pages_that_are_gone(staged: Path) -> None:
    (staged / "gone.md").write_text("# Gone\n")
    stage(ROOT, staged)
    assert not (staged / "gone.md").exists()


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\n[b](../b.py)\n")
    with pytest.raises(FileNotFoundError, match=r"docs/a\.md:3: expected a file or folder, found no b\.py\."):
        stage(tmp_path, tmp_path / "out")


def test_a_file_becomes_a_page_that_shows_it(staged: Path) -> None:
    page = (staged / "source/hkd_edge/pipeline.py.md").read_text(encoding="utf-8")
    assert (ROOT / "hkd_edge/pipeline.py").read_text(encoding="utf-8") in page


def test_the_site_is_built_with_every_page(site: Path) -> None:
    for path in (ROOT / "docs").glob("*.md"):
        assert (site / f"{path.stem}.html").is_file()


def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        foreign = [url for url in Fetched(page.read_text(encoding="utf-8")).urls if re.match(r"(https?:)?//", url)]
        assert not foreign, page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", sheet.read_text(encoding="utf-8")), sheet


def test_links_and_anchors_of_the_site_lead_somewhere(site: Path) -> None:
    pages = {page: Fetched(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")}
    del pages[site / "404.html"]  # a server shows it at any path, so its links start from the top
    wrong = []
    for page, found in pages.items():
        for link in found.links:
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (page.parent / path).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            if target not in pages or (anchor and anchor not in pages[target].anchors and anchor != "__skip"):
                wrong.append(f"{page.relative_to(site)}: {link}")
    assert not wrong, "\n".join(sorted(set(wrong))[:20])


def test_the_configuration_is_plain_yaml_but_for_its_slugs() -> None:
    text = re.sub(r"!!python/object/apply:pymdownx\.slugs\.slugify \{.*\}", "slugs", text_of("mkdocs.yml"))
    assert yaml.safe_load(text)["theme"]["font"] is False
