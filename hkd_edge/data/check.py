"""`hkd-edge data check`: what was found of a folder or list of images, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from hkd_edge.data.findings import Duplicates, Findings, findings_of, warnings_of
from hkd_edge.data.own_images import arrange
from hkd_edge.data.pictures import Tell
from hkd_edge.data.survey import survey_images
from hkd_edge.data.unlabelled import refuse_useless
from hkd_edge.errors import DataError
from hkd_edge.recipe.data import Data
from hkd_edge_runtime.hierarchy import Hierarchy

_MOST_CLASSES = 30
_MOST_GROUPS = 5
_MOST_UNREADABLE = 20


def check(root: Path, data: Data, tell: Tell) -> tuple[Findings, DataError | None]:
    """What is found of the folder or list at `root`, and what a run by `data` and its own concepts would refuse it for.

    Raises:
        DataError: if the images cannot be listed at all: none there, of no class, or a list with wrong rows.
        MissingDependencyError: for a Parquet list without pyarrow.
    """
    height, width = data.image_size or (64, 64)
    survey = survey_images(data.dataset, root, (height, width), data.color, data.group_by, tell, data.memory_mb)
    refused = None
    try:
        arranged = arrange(survey, data)
        refuse_useless(arranged, arranged.origin.hierarchy if arranged.origin else Hierarchy(arranged.classes))
    except DataError as error:
        refused = error
    return findings_of(survey), refused


def as_json(findings: Findings, refused: DataError | None) -> str:
    """The findings as one JSON object, with `warnings` in words and what a run would refuse or null."""
    told = {**asdict(findings), "warnings": warnings_of(findings), "refused": refused and str(refused)}
    return json.dumps(told, indent=2, ensure_ascii=True)


def as_text(findings: Findings) -> str:
    """The findings for people."""
    return "\n".join(_lines(findings))


def _lines(findings: Findings) -> Iterator[str]:
    without = sum(findings.unlabelled.values())
    beside = f", and {without:,} without a class" if without else ""
    yield f"images       {findings.images - without:,} in {len(findings.classes)} classes{beside}"
    yield from _classes(findings)
    yield from _unlabelled(findings)
    if findings.splits:
        yield f"splits       {_counts(findings.splits)}"
    if findings.groups:
        yield f"groups       {findings.groups:,}"
    if findings.sides is not None:
        for name, (smallest, middle, largest) in (("width", findings.sides.width), ("height", findings.sides.height)):
            yield f"{name:<12} {smallest} to {largest} pixels, median {middle:g}"
        shorter = f"the shorter side of the median image has {findings.sides.shorter:g} pixels"
        yield f"image_size   {findings.recommended_size} recommended: {shorter}"
    yield f"modes        {_counts(findings.modes)}"
    yield f"turned       {findings.turned:,} by their EXIF tag"
    if findings.ignored:
        yield f"passed over  {_counts(findings.ignored)} that are no images"
    if findings.unreadable:
        yield f"unreadable   {len(findings.unreadable):,}"
        yield from _unreadable(findings)
    for kind in ("exact", "near"):
        yield f"{kind + ' copies':<12} {findings.count(kind):,} pictures are there more than once"
        yield from _groups([found for found in findings.duplicates if found.kind == kind])
    for line in warnings_of(findings):
        yield f"warning: {line}"


def _classes(findings: Findings) -> Iterator[str]:
    for name, count in list(findings.classes.items())[:_MOST_CLASSES]:
        yield f"  {count:>8,}  {name}"
    if len(findings.classes) > _MOST_CLASSES:
        yield f"            and {len(findings.classes) - _MOST_CLASSES} classes more"
    balance = " (data.balance: weights helps rare classes)" if findings.imbalance > 3 else ""
    yield f"imbalance    {findings.imbalance:.1f} images of the largest class for one of the smallest{balance}"


def _unlabelled(findings: Findings) -> Iterator[str]:
    if findings.unlabelled:
        yield "no class     but concepts to learn from:"
    for concepts, count in list(findings.unlabelled.items())[:_MOST_CLASSES]:
        yield f"  {count:>8,}  {concepts}"
    if len(findings.unlabelled) > _MOST_CLASSES:
        yield f"            and {len(findings.unlabelled) - _MOST_CLASSES} concepts more"


def _unreadable(findings: Findings) -> Iterator[str]:
    for name, reason in list(findings.unreadable.items())[:_MOST_UNREADABLE]:
        yield f"    {name}: {reason}"
    if len(findings.unreadable) > _MOST_UNREADABLE:
        yield f"    and {len(findings.unreadable) - _MOST_UNREADABLE} more (all of them by --json)"


def _groups(found: list[Duplicates]) -> Iterator[str]:
    for group in found[:_MOST_GROUPS]:
        yield f"    {' = '.join(group.names[:4])}{' = ...' if len(group.names) > 4 else ''}"
    if len(found) > _MOST_GROUPS:
        yield f"    and {len(found) - _MOST_GROUPS} more (all of them by --json)"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
