"""The report as a browser shows it, where there is one: nothing to complain of, nothing wider than the screen."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hkd_edge.report.write import write_report
from tests.report.runs import nasty, write_run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--hide-scrollbars"),
)
# Headless windows are at least 500 px wide, so the page stands in a frame, whose width its media queries go by.
FRAME = """<!DOCTYPE html><body style="margin:0"><iframe id="page" style="border:0;width:{width}px;height:800px"
srcdoc="{page}"></iframe><script>
document.getElementById("page").onload = (event) => {{
  const page = event.target.contentDocument, root = page.documentElement, seen = [];
  const style = (query) => page.defaultView.getComputedStyle(page.querySelector(query));
  for (const text of page.querySelectorAll("svg text")) seen.push(text.getBoundingClientRect().height);
  document.body.dataset.found = JSON.stringify({{
    width: root.scrollWidth, height: root.scrollHeight, background: style("body").backgroundColor,
    texts: seen.length, smallest: Math.min(...seen), drawing: style("svg text").fill,
    images: [...page.images].every((image) => image.complete && image.naturalWidth > 0),
  }});
  console.warn("measured");
}};
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser here: none of {', '.join(NAMES)}")
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(write_run(tmp_path_factory.mktemp("runs") / "run", nasty()))[0].read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "background"), [("light", "rgb(253, 253, 252)"), ("dark", "rgb(20, 23, 28)")])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it(
    chromium: str, report: str, tmp_path: Path, width: int, theme: str, background: str
) -> None:
    framed = tmp_path / "framed.html"
    framed.write_text(FRAME.format(width=width, page=html.escape(report)), encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if theme == 'dark' else 1}"
    where = (f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,900", "--virtual-time-budget=5000")
    command = [chromium, *FLAGS, scheme, *where, "--dump-dom", framed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert len(console) == 1, console
    assert "measured" in console[0]
    stored = re.search(r'data-found="([^"]*)"', done.stdout)
    assert stored, done.stdout[-2000:]
    found = json.loads(html.unescape(stored[1]))
    assert found["width"] == width  # what is wider scrolls in its own box
    assert found["background"] == background
    assert found["images"]
    assert found["texts"] > 100
    assert found["smallest"] > 8
