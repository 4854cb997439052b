"""Builds the static site: `python -m docs.tools.site`.

Pages lie all over the repository and link to each other and to its files as a code host wants it. They are gathered
into one folder, their links are turned to where things lie there, and Zensical makes HTML of it, without network. Files
that are no pages, such as source, become pages that show them, so that no link leads out of the site.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from docs.tools.markdown import Link, links, replace_links

ROOT = Path(__file__).resolve().parents[2]
STAGED = ROOT / "build" / "docs"
_DOCS = "docs"
_SHEET = "docs/tools/site.css"
_OVERVIEW = "overview.md"  # README.md would be the page of the folder, as index.md is
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".service": "ini", ".txt": "text"}


def main() -> int:
    """Gathers the pages and builds the site; the exit code is Zensical's."""
    stage(ROOT, STAGED)
    return subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=ROOT).returncode


def stage(root: Path, folder: Path) -> None:
    """Writes the pages of docs/ into `folder`, and all that they lead to in the repository at `root`.

    Raises:
        FileNotFoundError: for a link that leads nowhere.
    """
    waiting = [path.relative_to(root).as_posix() for path in sorted((root / _DOCS).glob("*.md"))]
    done: set[str] = set()
    while waiting:
        source = waiting.pop()
        if source in done:
            continue
        done.add(source)
        page = folder / staged_path(source)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_content(root, source), encoding="utf-8")
        waiting += _led_to(root, source)
    sheet = folder / Path(_SHEET).name
    if (root / _SHEET).exists():
        shutil.copy(root / _SHEET, sheet)
    _remove_others(folder, {sheet, *(folder / staged_path(source) for source in done)})


def staged_path(source: str) -> str:
    """Where the file `source` of the repository lies in the site's pages.

    >>> [staged_path(source) for source in ("docs/data.md", "README.md", "runtime/README.md", "hkd_edge/cli.py")]
    ['data.md', 'overview.md', 'runtime/README.md', 'source/hkd_edge/cli.py.md']
    """
    if source.startswith(f"{_DOCS}/") and source.endswith(".md"):
        return source.removeprefix(f"{_DOCS}/")
    if source == "README.md":
        return _OVERVIEW
    return source if source.endswith(".md") else f"source/{source}.md"


def _content(root: Path, source: str) -> str:
    path = root / source
    if path.suffix == ".md":
        return replace_links(path.read_text(encoding="utf-8"), lambda target: _turned(target, source))
    if path.is_dir():
        names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in path.iterdir() if _shown(entry))
        return "\n".join([f"# {source}/\n", *(f"- `{name}`" for name in names), ""])
    language = _LANGUAGES.get(path.suffix, "text")
    return f"# {source}\n\n``````{language}\n{path.read_text(encoding='utf-8')}``````\n"


def _shown(entry: Path) -> bool:
    return not entry.name.startswith((".", "__pycache__"))


def _led_to(root: Path, source: str) -> Iterator[str]:
    if not source.endswith(".md"):
        return
    for link in links((root / source).read_text(encoding="utf-8")):
        if link.path and not link.is_external:
            target = _resolved(link.path, source)
            if not (root / target).exists():
                raise FileNotFoundError(f"{source}:{link.line}: expected a file or folder, found no {target}.")
            yield target


def _turned(target: str, source: str) -> str:
    path, sign, anchor = target.partition("#")
    if not path or Link(path, anchor, 0).is_external:
        return target
    here = PurePosixPath(staged_path(source)).parent
    return os.path.relpath(staged_path(_resolved(path, source)), here) + sign + anchor


def _resolved(path: str, source: str) -> str:
    """The repository's path of a link's `path` in the file `source`."""
    return os.path.normpath(PurePosixPath(source).parent / path)


def _remove_others(folder: Path, kept: set[Path]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
