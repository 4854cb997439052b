"""The Markdown files of the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_NOT_OURS = ("build", "dist", "runs", "data", "studies", "node_modules")


def _is_ours(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return parts[0] not in _NOT_OURS and not any(part.startswith(".") for part in parts)


MARKDOWN = tuple(sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.md") if _is_ours(path)))


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
