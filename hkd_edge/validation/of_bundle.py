"""Validates a bundle: a folder or an .hkd file, all of whose checksums are compared first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import ValidationError

from hkd_edge.data.dataset import ImageSet
from hkd_edge.data.load import DATASETS, load_dataset
from hkd_edge.errors import DataError, RecipeError
from hkd_edge.evaluate.artefacts import Artefact
from hkd_edge.evaluate.result import Gate, Validation
from hkd_edge.evaluate.subject import Promise, Subject
from hkd_edge.evaluate.validate import Work, validate
from hkd_edge.recipe.delivery import Validate
from hkd_edge.validation.labelled import choose_targets, read_labelled
from hkd_edge_runtime.backends import BACKENDS
from hkd_edge_runtime.bundle import Bundle, open_bundle
from hkd_edge_runtime.evaluation import read_evaluation


def validate_bundle(
    path: Path,
    targets: Sequence[str],
    data: Path | None,
    limits: Callable[[Mapping[str, Any]], Validate],
    work: Work,
    tell: Callable[[str], None],
) -> tuple[Validation, dict[str, NDArray[Any]]]:
    """The validation of a bundle's artefacts for `targets` (none = all) by the images that can be had.

    These are the labelled ones of the folder `data`, or else the test images of the data set that the bundle was made
    from, or else its evaluation subset. `limits` is given the gates of the recipe that it was made by.

    Raises:
        BundleError: if it is damaged, or an artefact does not answer.
        DataError: if there are no images to compare by.
    """
    with open_bundle(path) as bundle:
        manifest = bundle.manifest
        known = [each for each in manifest.artefacts if each.target in BACKENDS]
        folder = bundle.place(*(file for each in known for file in each.files))
        promises = {
            Artefact(each.target, each.precision, folder / each.files[0].path): Promise(
                each.shipped, each.reason, each.confidence
            )
            for each in known
        }
        test, images = _images(bundle, data, tell)
        chosen = choose_targets(list(promises), targets)
        subject = Subject(
            name=manifest.name,
            kind="bundle",
            root=folder,
            artefacts=chosen,
            hierarchy=manifest.hierarchy,
            test=test,
            images=images,
            promises={artefact: promises[artefact] for artefact in chosen},
            findings=(Gate("unchanged", "all", "passed", "the files of the manifest", f"digest {bundle.digest[:12]}"),),
        )
        return validate(subject, limits(_gates_of(manifest.provenance)), work)


def _images(bundle: Bundle, data: Path | None, tell: Callable[[str], None]) -> tuple[ImageSet, str]:
    manifest = bundle.manifest
    if data is not None:
        return read_labelled(data, manifest.input, manifest.labels)
    made_from = manifest.provenance.get("data")
    facts: Mapping[str, Any] = made_from if isinstance(made_from, dict) else {}
    if facts.get("name") in DATASETS:
        try:
            dataset = load_dataset(facts["name"], None, download=False)
        except DataError as error:
            tell(f"the test images of {facts['name']} cannot be had: {error}")
        else:
            if dataset.fingerprint == facts.get("fingerprint"):
                return dataset.test, f"all {len(dataset.test):,} test images of {dataset.name}"
            tell(f"{facts['name']} here is not the one that the bundle was made from (another fingerprint)")
    if manifest.evaluation is not None:
        subset = read_evaluation(bundle.place(manifest.evaluation), manifest)
        if subset is not None:
            return ImageSet(subset.images, subset.labels), f"the bundle's {len(subset.labels):,} evaluation images"
    raise DataError(
        f"{manifest.name}: expected labelled images to compare by, got a bundle without an evaluation subset. "
        "Name a folder with a subfolder of images for each class by --data."
    )


def _gates_of(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    recipe = provenance.get("recipe")
    gates = recipe.get("validate") if isinstance(recipe, dict) else None
    return gates if isinstance(gates, dict) else {}


def limits_with(own: Mapping[str, Any], overrides: Mapping[str, Any]) -> Validate:
    """The gates of the recipe that a bundle was made by, with `overrides` in their places.

    Raises:
        RecipeError: if the bundle's own are of another version.
    """
    try:
        return Validate.model_validate({**own, **overrides})
    except ValidationError as error:
        raise RecipeError(
            f"bundle: expected the gates of a recipe of this version, got {error.errors()[0]['msg']}. Make it again."
        ) from error
