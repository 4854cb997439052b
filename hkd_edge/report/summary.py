"""A validation as Markdown."""

from __future__ import annotations

from hkd_edge.evaluate.result import Validation


def markdown_summary(validation: Validation) -> str:
    """One line per artefact."""
    return "\n".join(f"{row.title} {row.test.top1:.2f} {row.reason}" for row in validation.rows)
