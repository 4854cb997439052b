"""The user's own images as a data set: read, refused if they will not do, split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hkd_edge.data.dataset import Dataset, ImageSet, Origin
from hkd_edge.data.duplicates import components, exact_pairs
from hkd_edge.data.findings import findings_of, warnings_of
from hkd_edge.data.grouped_split import hold_out
from hkd_edge.data.listing import MOST_LISTED, TEST, TRAIN, VALIDATION, hierarchy_of
from hkd_edge.data.pictures import Tell
from hkd_edge.data.stored import pixels_at
from hkd_edge.data.survey import Survey, survey_images
from hkd_edge.data.unlabelled import left_out_beside, number_labels
from hkd_edge.errors import DataError
from hkd_edge.recipe.data import Data

_Indices = NDArray[np.int64]


def load_own_images(data: Data, root: Path, tell: Tell) -> Dataset:
    """The folder or list at `root` as `data` says, decoded, checked and with its test images apart.

    Raises:
        DataError: as `survey_images` and `arrange`.
        MissingDependencyError: for a Parquet list without pyarrow.
    """
    height, width = data.image_size or (0, 0)
    how = ((height, width), data.color, data.group_by, tell, data.memory_mb)
    return arrange(survey_images(data.dataset, root, *how), data)


def arrange(survey: Survey, data: Data) -> Dataset:
    """The data set of the images in `survey`; those without a class are among the training images.

    Raises:
        DataError: if too many images are unreadable, a class contradicts itself, is missing from a split, or has too
            few images to be split.
    """
    refuse_unreadable(survey, data.max_unreadable)
    classes = survey.classes
    _check_several(classes)
    hierarchy = hierarchy_of(survey.listing, classes)
    labels, unlabelled = number_labels(survey.entries, classes)
    has_class = labels < len(classes)
    groups = _groups(survey, near=data.group_near_duplicates)
    given = {name: _of_split(survey, name) for name in (TRAIN, VALIDATION, TEST)}
    _check_given(given, labels, classes)
    _check_enough(given, labels, groups, classes)
    test = given[TEST]
    if not len(test):
        free = np.setdiff1d(np.flatnonzero(has_class), given[VALIDATION])
        test = free[hold_out(labels[free], groups[free], data.test_fraction, data.split_seed, classes, "the test")]
    train = np.setdiff1d(np.arange(len(labels)), test)
    findings = findings_of(survey)
    origin = Origin(
        train_names=_names(survey, train),
        test_names=_names(survey, test),
        groups=groups[train],
        left_out=np.flatnonzero(np.isin(train, left_out_beside(test, groups, has_class))),
        held_out=np.flatnonzero(np.isin(train, given[VALIDATION])) if len(given[VALIDATION]) else None,
        hierarchy=hierarchy,
        findings=findings,
        notes=(_told(survey), *warnings_of(findings)),
    )
    return Dataset(
        survey.listing.root.resolve().name,
        classes,
        ImageSet(pixels_at(survey.images, train), labels[train]),
        ImageSet(pixels_at(survey.images, test), labels[test]),
        f"{data.dataset} {survey.listing.root.resolve().name}",
        _fingerprint(survey, classes, labels, origin, train, test, unlabelled),
        origin,
        unlabelled,
    )


def refuse_unreadable(survey: Survey, limit: float) -> None:
    """Does nothing if no more than the share `limit` of all images, and not all of a class, are unreadable.

    Raises:
        DataError: with their names and reasons.
    """
    bad, count = survey.unreadable, len(survey.listing.entries)
    lost = sorted({entry.label for entry in survey.listing.entries if entry.label is not None} - set(survey.classes))
    if len(bad) <= limit * count and not lost:
        return
    told = "".join(f"\n  {name}: {reason}" for name, reason in bad[:MOST_LISTED])
    more = f"\n  and {len(bad) - MOST_LISTED} more" if len(bad) > MOST_LISTED else ""
    expected = f"at most {100 * limit:g} % of {count:,} images to be unreadable"
    if lost:
        expected = f"a readable image of every class (none of {', '.join(map(repr, lost))} is)"
    raise DataError(
        f"{survey.listing.root}: expected {expected}, got {len(bad)} unreadable ones:{told}{more}\n"
        "Mend or remove them, or allow more by data.max_unreadable."
    )


def _groups(survey: Survey, *, near: bool) -> _Indices:
    """The group (N,) of each image: linked by the source's groups, or as duplicates."""
    own = [entry.group or f"\0{index}" for index, entry in enumerate(survey.entries)]
    pairs = [survey.exact, exact_pairs(own), *([survey.near] if near else [])]
    return components(len(own), *pairs)


def _of_split(survey: Survey, name: str) -> _Indices:
    return np.asarray([index for index, entry in enumerate(survey.entries) if entry.split == name], np.int64)


def _check_several(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise DataError(
            f"expected at least 2 classes, got {len(classes)}: {', '.join(classes) or 'none'}. Add a folder for each."
        )


def _check_given(given: dict[str, _Indices], labels: _Indices, classes: Sequence[str]) -> None:
    for name, indices in given.items():
        lacking = [label for number, label in enumerate(classes) if number not in labels[indices]]
        if len(indices) and lacking:
            raise DataError(
                f"expected images of every class in {name}, got none of {', '.join(map(repr, lacking[:MOST_LISTED]))}. "
                "Add some, or leave the class out of all splits."
            )


def _check_enough(given: dict[str, _Indices], labels: _Indices, groups: _Indices, classes: Sequence[str]) -> None:
    """Every class needs a group of images for the training and one for each split that is yet to be made."""
    free = np.setdiff1d(np.arange(len(labels)), np.concatenate([given[VALIDATION], given[TEST]]))
    needed = 1 + sum(not len(given[name]) for name in (VALIDATION, TEST))
    counts = {label: len(np.unique(groups[free][labels[free] == number])) for number, label in enumerate(classes)}
    few = [
        f"\n  {label!r}: {count} of {int(np.sum(labels[free] == classes.index(label)))} images"
        for label, count in counts.items()
        if count < needed
    ]
    if few:
        raise DataError(
            f"expected at least {needed} groups of images of every class to split, got fewer of {len(few)} classes "
            f"(groups of images):{''.join(few[:MOST_LISTED])}\nDuplicates are one group, and so is what data.group_by "
            "finds to be one. Add images of these classes or leave the classes out; data.group_near_duplicates=false "
            "takes only exact duplicates for one."
        )


def _names(survey: Survey, indices: _Indices) -> tuple[str, ...]:
    return tuple(survey.entries[index].name for index in indices)


def _told(survey: Survey) -> str:
    shape = " x ".join(map(str, survey.images.shape[1:]))
    without = sum(entry.label is None for entry in survey.entries)
    told = f", {without:,} of them without a class," if without else ""
    return f"{len(survey.entries):,} images{told} of {len(survey.classes)} classes at {shape}, {survey.made}"


def _fingerprint(
    survey: Survey,
    classes: Sequence[str],
    labels: _Indices,
    origin: Origin,
    train: _Indices,
    test: _Indices,
    unlabelled: Sequence[Mapping[str, str]],
) -> str:
    """A SHA-256 over pixels, labels, groups and sides; neither paths nor times enter."""
    digests = [picture.sha256 for picture in survey.pictures]
    # Only where there are any, so that sets of which all classes are known keep the fingerprint that they had.
    without_class = {"unlabelled": unlabelled, "left_out": origin.left_out.tolist()} if unlabelled else {}
    parts = {
        **without_class,
        "classes": classes,
        "shape": survey.images.shape[1:],
        "train": [(digests[index], int(labels[index])) for index in train],
        "test": [(digests[index], int(labels[index])) for index in test],
        "groups": np.unique(origin.groups, return_inverse=True)[1].tolist(),
        "held_out": None if origin.held_out is None else origin.held_out.tolist(),
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
