"""A folder as people have it, with planted faults: each is told, and the good images go all the way to the bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from hkd_edge.cli import cli
from hkd_edge.data.findings import Findings, findings_of
from hkd_edge.data.survey import survey_images
from hkd_edge.errors import DataError
from hkd_edge.evaluate.result import read_answers, read_validation
from hkd_edge.recipe import load_recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge_runtime import load
from tests.debian import UnavailableError
from tests.photographs.compose import write_pictures
from tests.photographs.plants import Plants, contradiction, flatten, lone_class, plant, stray_image
from tests.photographs.sources import drawn, photographs

# Answers of a batch, whose sums a runtime may take in another order than those of a single image.
BATCH_TOLERANCE = 1e-5
SMALL = ((96, 72), (72, 96), (80, 80), (120, 67), (91, 65))  # pixels; what faults are does not depend on it


@dataclass(frozen=True)
class Folder:
    """A folder of pictures, and what is planted in it."""

    root: Path
    plants: Plants


def called(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [*map(str, words)])


def made(root: Path, count: int) -> Folder:
    """A folder of `count` drawn pictures, and faults."""
    return Folder(root, plant(root, write_pictures(root, drawn(), count, seed=0, sizes=SMALL)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return made(tmp_path_factory.mktemp("drawn") / "photos", 120)


@pytest.fixture(scope="module")
def findings(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Findings]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield findings_of(survey_images("folder", folder.root, (64, 64), "auto", None, lambda *_: None))


def test_every_broken_file_is_told_with_its_reason(folder: Folder, findings: Findings) -> None:
    reasons = {kind: findings.unreadable[name] for kind, name in folder.plants.unreadable.items()}
    assert set(findings.unreadable) == set(folder.plants.unreadable.values())
    assert "truncated" in reasons["truncated"]
    assert "truncated" in reasons["truncated-png"]
    assert reasons["text"] == "cannot identify its format"
    assert reasons["zero-bytes"] == "the file is empty (0 bytes)"
    assert reasons["dangling-link"] == "No such file or directory"


def test_every_odd_kind_is_read_and_counted(folder: Folder, findings: Findings) -> None:
    told = {name for name in folder.plants.odd.values() if name in findings.unreadable}
    assert told == set()
    assert {"RGB", "L", "CMYK", "I;16", "P", "RGBA"} <= findings.modes.keys()
    assert findings.turned == len(folder.plants.turned) == 7


def test_copies_are_found_and_those_of_two_classes_are_warned_of(folder: Folder, findings: Findings) -> None:
    found = {kind: {each.names for each in findings.duplicates if each.kind == kind} for kind in ("exact", "near")}
    assert found["exact"] == {tuple(sorted(pair)) for pair in folder.plants.copies.values()}
    assert found["near"] == {tuple(sorted(pair)) for pair in folder.plants.near.values()}
    assert [set(each.names) for each in findings.across_classes] == [set(folder.plants.copies["across"])]


def test_what_is_no_image_is_counted_and_what_is_hidden_is_not_looked_at(folder: Folder, findings: Findings) -> None:
    assert findings.ignored == {".txt": 1, ".db": 1}
    assert set(findings.empty) == {*folder.plants.empty, "album"}
    seen = {name for each in findings.duplicates for name in each.names} | findings.unreadable.keys()
    assert not seen & set(folder.plants.hidden)


def test_data_check_tells_a_person_all_of_it(folder: Folder) -> None:
    result = called("data", "check", folder.root, "--max-unreadable", "0.05")
    assert result.exit_code == 0, result.output
    plants = folder.plants
    told = " ".join(result.stdout.split())
    assert "warning: 5 unreadable images are left out" in told
    assert f"warning: 2 folders hold no image and are no class: album, {plants.empty[0]}" in told
    assert "warning: 1 pictures have more than one label, an error in the data" in told
    assert all(name in told for name in plants.unreadable.values())
    assert all(name in told for pair in (*plants.copies.values(), *plants.near.values()) for name in pair)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lone_class, r"expected at least 3 groups of images of every class to split.*\n  'lone': 1 of 1 images"),
        (contradiction, r"expected each class in one concept of an axis.*\n  class '\w+' is in '\w+' \(.*\) and '\w+'"),
        (stray_image, r"expected folders with either images or folders of images, got 1 that are not:\n  \w+"),
    ],
)
def test_what_no_run_can_use_is_refused_before_anything_is_written(
    tmp_path: Path, fault: Callable[[Path, list[Path]], str], told: str
) -> None:
    pictures = write_pictures(tmp_path / "photos", drawn(), 24, seed=1, sizes=SMALL)
    fault(tmp_path / "photos", pictures)
    with pytest.raises(DataError, match=told):
        raise called("init", tmp_path / "project", "--data", tmp_path / "photos").exception or AssertionError
    assert not (tmp_path / "project").exists()


# A few steps make no good student; here it counts that answers agree.
LOOSE = {
    "distill.training.epochs": 2,
    "teacher.training.epochs": 1,
    "validate.max_top1_drop": 100,
    "validate.max_class_drop": 100,
    "validate.min_agreement": 0,
    "validate.min_cross_agreement": 0,
    "validate.int8_must_be_faster": "false",
    "validate.latency_runs": 5,
    "validate.selective.accuracy": 50,
    "export.precisions": "[fp32,int8]",
    "export.calibration_images": 40,
}


RELAXED = ("--max-unreadable", "0.1")  # five files are more than 1 % of a hundred


def loose() -> list[str]:
    return [word for key, value in LOOSE.items() for word in ("--set", f"{key}={value}")]


def assert_answers_of_files_are_those_of_the_evaluation(run: Path, root: Path, names: set[str]) -> int:
    """For every test image and all of `names`: equal pixels, hence equal answers; and those that were judged.

    Returns how many answers were compared.
    """
    dataset = Context(load_recipe(str(run / "recipe.yaml")), run, Reporter(Console(quiet=True))).dataset
    assert dataset.origin is not None
    pixels = dict(zip(dataset.origin.train_names, dataset.train.images, strict=True)) | dict(
        zip(dataset.origin.test_names, dataset.test.images, strict=True)
    )
    answers, compared = read_answers(run), 0
    here = [row for row in read_validation(run).rows if row.target != "tensorrt"]  # needs a GPU, has tests of its own
    for row in here:
        judged = dict(zip(dataset.origin.test_names, answers[row.array], strict=True))
        with load(run / "bundle", row.target, row.precision) as model:
            for name in sorted({*dataset.origin.test_names, *names}):
                told, expected = model.predict(root / name), model.predict(pixels[name])
                assert told.probabilities.tobytes() == expected.probabilities.tobytes(), name
                if name in judged:
                    softmax = np.exp(judged[name].astype(np.float64) - judged[name].max())
                    assert np.abs(told.probabilities - softmax / softmax.sum()).max() < BATCH_TOLERANCE
                compared += 1
    return compared


def odd_sizes(side: int) -> tuple[tuple[int, int], ...]:
    """Widths and heights of pictures smaller, larger and as large as `side`, of usual and of odd aspect."""
    return (
        *((20, 15), (33, 97), (2 * side + 1, side // 2 + 1), (side, side)),
        *((side - 1, side + 1), (3 * side, 40), (side + 57, 2 * side)),
    )


@pytest.mark.parametrize(
    "side", [32, *(pytest.param(side, marks=pytest.mark.slow) for side in (64, 96, 128, 160, 224))]
)
def test_each_image_size_goes_the_whole_way_and_the_wrapper_answers_files_as_they_were_judged(
    tmp_path: Path, side: int
) -> None:
    root = tmp_path / "photos"
    plants = plant(root, write_pictures(root, drawn(), 100, seed=2, sizes=odd_sizes(side)))
    assert called("init", tmp_path, "--data", root, "--image-size", str(side), *RELAXED).exit_code == 0
    targets = "[onnxruntime]" if side == 32 else "[onnxruntime,openvino]"  # the slow ones try both
    targeted = ("--set", f"export.targets={targets}")
    result = called("run", tmp_path / "recipe.yaml", "-o", tmp_path / "run", *loose(), *targeted)
    assert result.exit_code == 0, result.exception or result.output
    names = {*plants.odd.values(), *plants.turned.values()}
    compared = assert_answers_of_files_are_those_of_the_evaluation(tmp_path / "run", root, names)
    assert compared >= (2 if side == 32 else 4) * len(names)
    assert len(names) == 14


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """2,000 photographs, composed of what Debian packages hold, and faults."""
    try:
        sources = photographs()
    except UnavailableError as error:
        pytest.skip(f"photographs from Debian packages cannot be had: {error}")
    root = tmp_path_factory.mktemp("real") / "photos"
    return Folder(root, plant(root, write_pictures(root, sources, 2000, seed=0)))


@pytest.mark.slow
def test_two_thousand_photographs_go_from_their_folder_to_a_bundle_with_no_edit(real: Folder, tmp_path: Path) -> None:
    told = called("init", tmp_path, "--data", real.root, "--minutes", "3")
    assert told.exit_code == 0, told.exception or told.output
    assert "warning: 5 unreadable images are left out" in told.output
    assert "level_1, level_2" in told.output
    run = called("run", tmp_path / "recipe.yaml", "-o", tmp_path / "run")
    assert run.exit_code == 0, run.exception or run.output
    names = {*real.plants.odd.values(), *real.plants.turned.values()}
    assert assert_answers_of_files_are_those_of_the_evaluation(tmp_path / "run", real.root, names) > 600
    top1 = read_validation(tmp_path / "run").rows[0].test.top1
    assert top1 > 30  # of 25 classes; chance is 4
    unseen = write_pictures(tmp_path / "unseen", photographs(), 300, seed=1, unseen=True)
    with load(tmp_path / "run" / "bundle") as model:
        right = sum(model.predict(path).label == path.parent.name for path in unseen)
    assert right / len(unseen) > 0.25
    answer = called("predict", tmp_path / "run" / "bundle", unseen[0], "--json")
    assert answer.exit_code == 0
    [told_of_one] = json.loads(answer.output)
    assert told_of_one["label"] in {path.parent.name for path in unseen}


@pytest.mark.slow
def test_without_folders_above_the_classes_concepts_are_suggested_and_compared(real: Folder, tmp_path: Path) -> None:
    flat, project = flatten(real.root, tmp_path / "flat"), tmp_path / "project"
    assert called("init", project, "--data", flat, "--minutes", "1").exit_code == 0
    one = called("run", project / "recipe.yaml", "-o", project / "run")
    assert one.exit_code == 0, one.exception or one.output
    concepts = project / "found.concepts.yaml"
    assert called("concepts", "suggest", project / "run", "-o", concepts).exit_code == 0
    again = called("init", tmp_path / "again", "--data", flat, "--minutes", "1", "--hierarchy", concepts)
    assert again.exit_code == 0, again.exception or again.output
    two = called("run", tmp_path / "again" / "recipe.yaml", "-o", project / "run2")
    assert two.exit_code == 0, two.exception or two.output
    compared = called("compare", project / "run", project / "run2")
    assert compared.exit_code == 0, compared.exception or compared.output
