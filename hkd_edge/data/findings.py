"""What is known of a set of images, as data for `hkd-edge data check`, and what of it a run tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from hkd_edge.data.duplicates import components, members_of
from hkd_edge.data.listing import TEST, Entry, counts_of
from hkd_edge.data.survey import Survey
from hkd_edge.data.unlabelled import concepts_text

_SIZES = (32, 64, 96)
_SHOWN = 3  # examples in a line


@dataclass(frozen=True)
class Duplicates:
    """A picture that is there more than once, exactly (`kind` exact) or saved again (near).

    Attributes:
        classes: all that it is said to be; of copies without a class their concepts, if other copies contradict them.
        splits: those that the source names for its copies with a class; a run leaves the others out if they leak.
    """

    kind: str
    names: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Sides:
    """Upright widths and heights in pixels; `shorter` is the median of each image's shorter side."""

    width: tuple[int, float, int]  # smallest, median, largest
    height: tuple[int, float, int]
    shorter: float


@dataclass(frozen=True)
class Findings:
    """Everything that was found; paths are below the root.

    Attributes:
        images: how many are readable.
        unlabelled: images without a class by their concepts.
        imbalance: images of the largest class for each image of the smallest.
        splits: images of each split that the source names; none if it names none.
        unreadable: the reason by name.
        modes: images of each of Pillow's modes (L grey, RGB, P palette, CMYK, I;16, RGBA, ...).
        turned: images that their EXIF tag turns.
        leaked_exact, leaked_near: test images that are also outside the test, where the source names the split.
        recommended_size: side in pixels, see `recommend_size`.
    """

    images: int
    classes: Mapping[str, int]
    unlabelled: Mapping[str, int]
    imbalance: float
    splits: Mapping[str, int]
    groups: int
    ignored: Mapping[str, int]
    loops: tuple[str, ...]
    empty: tuple[str, ...]
    unreadable: Mapping[str, str]
    sides: Sides | None
    modes: Mapping[str, int]
    turned: int
    duplicates: tuple[Duplicates, ...]
    leaked_exact: int
    leaked_near: int
    recommended_size: int

    @property
    def across_classes(self) -> tuple[Duplicates, ...]:
        """The same picture under more than one label: an error in the data."""
        return tuple(found for found in self.duplicates if len(found.classes) > 1)

    @property
    def across_splits(self) -> tuple[Duplicates, ...]:
        """The same picture in more than one of the splits that the source names."""
        return tuple(found for found in self.duplicates if len(found.splits) > 1)

    def count(self, kind: str) -> int:
        """How many pictures are there more than once, exactly or nearly."""
        return sum(found.kind == kind for found in self.duplicates)


def findings_of(survey: Survey) -> Findings:
    """What `survey` shows."""
    entries, counts = survey.entries, counts_of(survey.entries)
    exact = members_of(components(len(entries), survey.exact))
    both = members_of(components(len(entries), survey.exact, survey.near))
    near = [group for group in both if group not in exact]
    return Findings(
        images=len(entries),
        classes=counts,
        unlabelled=_unlabelled(entries),
        imbalance=max(counts.values()) / min(counts.values()) if counts else 1.0,
        splits=dict(Counter(entry.split for entry in entries if entry.split)),  # asdict breaks a Counter, Python 3.11
        groups=len({entry.group for entry in entries if entry.group}),
        ignored=survey.listing.ignored,
        loops=survey.listing.loops,
        empty=tuple(name for name in survey.listing.empty if name not in survey.listing.loops),
        unreadable=dict(survey.unreadable),
        sides=_sides(survey),
        modes=dict(Counter(picture.mode for picture in survey.pictures).most_common()),
        turned=sum(picture.turned for picture in survey.pictures),
        duplicates=(
            *(_group(survey, "exact", group) for group in exact),
            *(_group(survey, "near", group) for group in near),
        ),
        leaked_exact=_leaked(survey, exact),
        leaked_near=_leaked(survey, both) - _leaked(survey, exact),
        recommended_size=recommend_size(survey),
    )


def _group(survey: Survey, kind: str, members: list[int]) -> Duplicates:
    entries = [survey.entries[index] for index in members]
    return Duplicates(
        kind,
        tuple(entry.name for entry in entries),
        _said(entries),
        tuple(sorted({entry.split for entry in entries if entry.split and entry.label is not None})),
    )


def _said(entries: Sequence[Entry]) -> tuple[str, ...]:
    """What copies of one picture are said to be, see `Duplicates`."""
    pairs = {pair for entry in entries for pair in entry.concepts.items()}
    per_axis = Counter(axis for axis, _ in pairs)
    disputed = [e for e in entries if e.label is None and any(per_axis[axis] > 1 for axis in e.concepts)]
    return tuple(
        sorted({e.label for e in entries if e.label is not None} | {concepts_text(e.concepts) for e in disputed})
    )


def _unlabelled(entries: Sequence[Entry]) -> dict[str, int]:
    counts = Counter(concepts_text(entry.concepts) for entry in entries if entry.label is None)
    return dict(sorted(counts.items()))


def _leaked(survey: Survey, groups: list[list[int]]) -> int:
    leaked = 0
    for members in groups:
        entries = (survey.entries[index] for index in members)
        splits = [entry.split for entry in entries if entry.label is not None]
        leaked += splits.count(TEST) if set(splits) - {TEST} else 0
    return leaked


def _sides(survey: Survey) -> Sides | None:
    if not survey.pictures:
        return None
    widths, heights = [p.width for p in survey.pictures], [p.height for p in survey.pictures]
    shorter = float(median(min(sides) for sides in zip(widths, heights, strict=True)))
    return Sides(_span(widths), _span(heights), shorter)


def _span(sides: list[int]) -> tuple[int, float, int]:
    return min(sides), float(median(sides)), max(sides)


def recommend_size(survey: Survey) -> int:
    """The largest of 32, 64 and 96 pixels that half of the images fill, or else 32.

    More than their own pixels tells a network nothing, and costs time by the square; more than 96 rarely pays for what
    is trained from scratch on a few thousand images. Try 128 to 224 where small details decide.
    """
    sides = _sides(survey)
    return max((size for size in _SIZES if sides is not None and size <= sides.shorter), default=_SIZES[0])


def warnings_of(findings: Findings) -> list[str]:
    """What a person should know of the data, a line each; nothing of it keeps a run from going."""
    lines = []
    if findings.unreadable:
        told = [f"{name} ({reason})" for name, reason in findings.unreadable.items()]
        lines.append(f"{len(told)} unreadable images are left out: {_some(told)}")
    if findings.loops:
        lines.append(
            f"{len(findings.loops)} folders lead back to one they are in and are passed over: {_some(findings.loops)}"
        )
    if findings.empty:
        lines.append(f"{len(findings.empty)} folders hold no image and are no class: {_some(findings.empty)}")
    if findings.across_classes:
        told = [f"{' = '.join(found.names[:_SHOWN])} ({', '.join(found.classes)})" for found in findings.across_classes]
        lines.append(f"{len(told)} pictures have more than one label, an error in the data: {_some(told)}")
    if findings.across_splits:
        test = max(1, findings.splits.get(TEST, 0))
        share = 100 * (findings.leaked_exact + findings.leaked_near) / test
        lines.append(
            f"{len(findings.across_splits)} pictures are in more than one split; {findings.leaked_exact} exact and "
            f"{findings.leaked_near} near duplicates in the test ({share:.1f} % of it) flatter its accuracy: "
            f"{_some([' = '.join(found.names[:_SHOWN]) for found in findings.across_splits])}"
        )
    return lines


def _some(told: list[str] | tuple[str, ...]) -> str:
    more = len(told) - _SHOWN
    return ", ".join(told[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
