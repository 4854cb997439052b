"""Writes the report."""

from pathlib import Path


def write_report(run: Path) -> list[Path]:
    """Nothing yet."""
    return []
