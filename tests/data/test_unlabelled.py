"""Images without a class but with concepts: where they go, what is told of them, and when they teach nothing."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hkd_edge.cli import cli
from hkd_edge.data.dataset import Dataset, ImageSet, Origin, class_weights
from hkd_edge.data.load import load_data, split_data
from hkd_edge.data.unlabelled import concept_indices, refuse_useless
from hkd_edge.errors import DataError
from hkd_edge.pipeline import run_pipeline
from hkd_edge.recipe import load_recipe
from hkd_edge.recipe.data import Data
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge_runtime.hierarchy import Axis, Hierarchy
from tests.data.drawn import CLASSES, draw, write_pictures, write_unlabelled
from tests.data.test_photos_to_bundle import TEACHER, write_recipe


def settings(**given: Any) -> Data:
    return Data.model_validate({"dataset": "folder", "root": "x", "image_size": 24, **given})


def loaded(root: Path, **given: Any) -> Dataset:
    return load_data(settings(**given), root, lambda *_: None)


def origin_of(dataset: Dataset) -> Origin:
    assert dataset.origin is not None
    return dataset.origin


@pytest.fixture
def partly(photos: Path) -> Path:
    """The photos (8 of each class), with 6 more of each class in `kind/_unlabelled`."""
    return write_unlabelled(photos, 6)


def sides(dataset: Dataset, **given: Any) -> dict[str, str]:
    """The side of each image by its name."""
    split, names = split_data(dataset, settings(**given)), origin_of(dataset).train_names
    found = dict.fromkeys(names, "left out") | dict.fromkeys(origin_of(dataset).test_names, "test")
    found |= {names[index]: "train" for index in split.train}
    return found | {names[index]: "validation" for index in split.validation}


def test_images_without_a_class_are_trained_on_and_never_held_out(partly: Path) -> None:
    dataset = loaded(partly)
    assert dataset.classes == CLASSES
    assert dataset.unlabelled == ({"level_1": "cornered"}, {"level_1": "round"})
    for seed in range(3):
        found = sides(loaded(partly, split_seed=seed), split_seed=seed)
        assert {side for name, side in found.items() if "_unlabelled" in name} == {"train"}
        assert set(found.values()) == {"train", "validation", "test"}
    for name, label in zip(origin_of(dataset).train_names, dataset.train.labels, strict=True):
        kind, folder, _ = name.split("/")
        row = {"cornered": 4, "round": 5}[kind]
        assert label == (row if folder == "_unlabelled" else CLASSES.index(folder))


def test_labelled_images_are_split_as_without_the_others(photos: Path) -> None:
    before = sides(loaded(photos))
    after = sides(loaded(write_unlabelled(photos, 6)))
    assert {name: side for name, side in after.items() if "_unlabelled" not in name} == before


def test_a_copy_of_a_held_out_image_is_left_out_and_one_of_a_training_image_is_not(photos: Path) -> None:
    (photos / "round/_unlabelled").mkdir()
    for image in (photos / "round/ball").iterdir():
        shutil.copy(image, photos / "round/_unlabelled" / image.name)
    dataset = loaded(photos, test_fraction=0.25)
    found = sides(dataset)
    expected = {"train": "train", "validation": "left out", "test": "left out"}
    for number in range(8):
        copy, labelled = f"round/_unlabelled/{number:04}.jpg", f"round/ball/{number:04}.jpg"
        assert found[copy] == expected[found[labelled]]
    assert list(found.values()).count("left out") == 3
    assert not any("more than one label" in note for note in origin_of(dataset).notes)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25)), min_size=8, max_size=60),
    st.sets(st.integers(0, 25), max_size=4),
    st.integers(0, 5),
)
def test_no_group_is_on_two_sides_and_all_else_without_a_class_is_trained_on(pairs, of_test, seed) -> None:
    labels, groups = np.array(pairs).T  # two classes, and labels 2 and 3 without one
    without = labels >= 2
    empty = ImageSet(np.zeros((len(labels), 4, 4, 1), np.uint8), labels)
    left_out = np.flatnonzero(without & np.isin(groups, list(of_test)))
    origin = Origin((), (), groups, left_out, None, Hierarchy(("a", "b")), None, ())  # type: ignore[arg-type]
    dataset = Dataset("", ("a", "b"), empty, empty, "", "", origin, ({"kind": "x"}, {"kind": "y"}))
    try:
        split = split_data(dataset, settings(validation_fraction=0.3, split_seed=seed))
    except DataError:
        return
    held = set(groups[split.validation])
    assert not held & set(groups[split.train])
    assert not without[split.validation].any()
    nowhere = np.setdiff1d(np.arange(len(labels)), np.concatenate([split.train, split.validation]))
    assert set(nowhere) == {i for i in np.flatnonzero(without) if groups[i] in held or groups[i] in of_test}


def test_a_list_with_empty_classes_says_as_much_as_its_cells(photos: Path, tmp_path: Path) -> None:
    files = sorted(photos.rglob("*.jpg"))
    rows = [
        f"{file.relative_to(tmp_path)},{file.parent.name},{file.parent.parent.name},"
        f"{'yes' if file.parent.name in ('ring', 'box') else 'no'}"
        for file in files
    ]
    for number, (kind, hollow) in enumerate((("round", "yes"), ("round", ""), ("", "no"))):
        draw("ring", 900 + number).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,,{kind},{hollow}")
    (tmp_path / "list.csv").write_text("path,class,kind,hollow\n" + "\n".join(rows))
    dataset = loaded(tmp_path / "list.csv", dataset="list")
    assert dataset.unlabelled == ({"hollow": "no"}, {"hollow": "yes", "kind": "round"}, {"kind": "round"})
    hierarchy = origin_of(dataset).hierarchy
    assert [axis.name for axis in hierarchy.axes] == ["kind", "hollow"]
    assert concept_indices(dataset.unlabelled, hierarchy).tolist() == [[-1, 0], [1, 1], [1, -1]]


def test_the_fingerprint_knows_what_is_known_of_images_without_a_class(partly: Path) -> None:
    before = loaded(partly).fingerprint
    assert loaded(partly).fingerprint == before
    (partly / "round/_unlabelled/ball500.jpg").rename(partly / "cornered/_unlabelled/zzz.jpg")
    assert loaded(partly).fingerprint != before


def test_a_concept_without_a_class_is_told_with_an_image_and_the_nearest(partly: Path) -> None:
    (partly / "round/_unlabelled").rename(partly / "rounded")
    (partly / "rounded/_unlabelled").mkdir()
    for image in (partly / "rounded").glob("*.jpg"):
        image.rename(partly / "rounded/_unlabelled" / image.name)
    dataset = loaded(partly)
    with pytest.raises(DataError) as caught:
        refuse_useless(dataset, origin_of(dataset).hierarchy)
    assert str(caught.value).splitlines() == [
        "folder photos: expected images without a class to be of concepts with classes, got 1 that are not:",
        "  rounded/_unlabelled/ball500.jpg: no class is in 'rounded' of level_1. Did you mean 'round'?",
        "Give each concept a class with images that say so, mend its name, or take the images out.",
    ]


def test_without_a_hierarchy_they_are_refused_as_useless(partly: Path) -> None:
    dataset = loaded(partly)
    with pytest.raises(DataError, match=r"hierarchy \(none\), got 24 that are of none, such as cornered/_unlabelled/b"):
        refuse_useless(dataset, Hierarchy(CLASSES))
    other = Hierarchy(CLASSES, (Axis("size", ("big", "small"), (0, 1, 0, 1)),))
    with pytest.raises(DataError, match=r"on an axis of the hierarchy \(size\), .* \(level_1 cornered\)\. They teach"):
        refuse_useless(dataset, other)


def test_a_set_without_any_class_is_refused(tmp_path: Path) -> None:
    write_unlabelled(tmp_path / "root", 2)
    with pytest.raises(DataError, match="expected at least 2 classes, got 0: none"):
        loaded(tmp_path / "root")


def test_data_check_counts_them_by_concept_and_balances_classes_alone(partly: Path) -> None:
    for image in sorted((partly / "round/ring").iterdir())[4:]:
        image.unlink()
    result = CliRunner().invoke(cli, ["data", "check", str(partly)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "images       28 in 4 classes, and 24 without a class" in lines
    at = lines.index("no class     but concepts to learn from:")
    assert lines[at + 1 : at + 3] == ["        12  level_1 cornered", "        12  level_1 round"]
    assert "imbalance    2.0 images of the largest class for one of the smallest" in lines
    told = json.loads(CliRunner().invoke(cli, ["data", "check", "--json", str(partly)]).stdout)
    assert told["unlabelled"] == {"level_1 cornered": 12, "level_1 round": 12}
    assert told["refused"] is None


def test_data_check_refuses_what_a_run_would(photos: Path) -> None:
    (photos / "square/_unlabelled").mkdir(parents=True)
    draw("box", 700).save(photos / "square/_unlabelled/1.jpg")
    result = CliRunner().invoke(cli, ["data", "check", str(photos)])
    assert isinstance(result.exception, DataError)
    assert "square/_unlabelled/1.jpg: no class is in 'square' of level_1" in str(result.exception)


def test_a_copy_of_another_concept_is_an_error_in_the_data(partly: Path) -> None:
    shutil.copy(partly / "round/ball/0000.jpg", partly / "cornered/_unlabelled/ball.jpg")
    notes = origin_of(loaded(partly)).notes
    told = "cornered/_unlabelled/ball.jpg = round/ball/0000.jpg (ball, level_1 cornered)"
    assert any("more than one label" in note and told in note for note in notes)


def test_copies_in_the_training_folder_of_test_images_are_left_out_and_flatter_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_pictures(root / "train", 4)
    write_pictures(root / "test", 2, start=20)
    write_unlabelled(root / "train", 2)
    shutil.copy(root / "test/round/ball/0020.jpg", root / "train/round/_unlabelled/copy.jpg")
    dataset = loaded(root)
    assert sides(dataset)["train/round/_unlabelled/copy.jpg"] == "left out"
    assert (origin_of(dataset).findings.leaked_exact, origin_of(dataset).findings.across_splits) == (0, ())


def run_until(recipe: Path, run: Path, until: str) -> str:
    heard = io.StringIO()
    with Reporter(Console(file=heard, width=250)) as reporter:
        run_pipeline(load_recipe(str(recipe)), run, reporter, until=until)
    return heard.getvalue()


def test_the_data_stage_writes_who_has_a_class_and_who_is_left_out(partly: Path, tmp_path: Path) -> None:
    shutil.copytree(partly / "round/ring", partly / "round/_unlabelled/copies")
    told = run_until(write_recipe(tmp_path, "32", "auto", nested=True), tmp_path / "run", "concepts")
    with np.load(tmp_path / "run/data/split.npz") as split:
        train, labelled = split["train"], split["labelled"]
    rows = list(csv.DictReader((tmp_path / "run/data/images.csv").read_text().splitlines()))
    assert [rows[index]["split"] for index in train] == ["train"] * len(train)
    assert [bool(rows[index]["class"]) for index in train] == np.isin(np.arange(len(train)), labelled).tolist()
    left_out = [row["path"] for row in rows if row["split"] == "left out"]
    held = {row["path"] for row in rows if row["split"] in ("validation", "test")}
    assert {f"round/ring/{Path(path).name}" for path in left_out} == {path for path in held if "/ring/" in path}
    facts = json.loads((tmp_path / "run/data/data.json").read_text())
    assert list(facts["train_images_by_class"]) == list(CLASSES)
    assert sum(facts["train_images_by_class"].values()) == len(labelled)
    assert facts["train_images_without_class"] == {"level_1 cornered": 12, "level_1 round": 12 + 8 - len(left_out)}
    assert f"{len(left_out)} images without a class are left out: of one group with an image held out" in told
    assert "keep their fine label" not in told


def test_a_run_without_a_hierarchy_is_refused(partly: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"hierarchy \(none\), got 24 that are of none"):
        run_until(write_recipe(tmp_path, "32", "auto", nested=False), tmp_path / "run", "concepts")


def test_a_task_teacher_answers_them_without_a_hierarchy(partly: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "32", "auto", nested=False)
    text = recipe.read_text().replace("weights: {", "weights: {kd: 1, ")
    recipe.write_text(text.replace("teacher: null", f"task_teacher: {TEACHER}"))
    told = run_until(recipe, tmp_path / "run", "distill")
    assert "24 of the training images have no class: 12 of level_1 cornered, 12 of level_1 round" in told
    assert (tmp_path / "run/student/student.pt").is_file()


@pytest.mark.parametrize(("weight", "unseen"), [(0.5, False), (0, True)])
def test_a_student_is_trained_with_them_or_says_that_it_cannot_see_them(
    partly: Path, tmp_path: Path, weight: float, unseen: bool
) -> None:
    recipe = write_recipe(tmp_path, "32", "auto", nested=True)
    recipe.write_text(recipe.read_text().replace("concept: 0.5", f"concept: {weight}"))
    told = run_until(recipe, tmp_path / "run", "distill")
    assert ("images without a fine label are not seen: no loss but ce has a weight" in told) is unseen


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_classes_are_weighed_by_the_images_that_show_their_label(partly: Path, tmp_path: Path, fraction: float) -> None:
    recipe = write_recipe(tmp_path, "32", "auto", nested=True)
    for image in sorted((partly / "round/ring").iterdir())[4:]:
        image.unlink()
    recipe.write_text(recipe.read_text().replace("data: {", f"data: {{label_fraction: {fraction}, "))
    run_until(recipe, tmp_path / "run", "concepts")
    context = Context(load_recipe(str(recipe)), tmp_path / "run", Reporter(Console(quiet=True)))
    split, data = context.split(), context.resident
    assert split.labelled is not None
    assert data.class_weights is not None
    seen = context.dataset.train.labels[split.train][split.labelled]
    assert np.allclose(data.class_weights.numpy(), class_weights(seen, 4))
    assert len(seen) == {1.0: 20, 0.5: 10}[fraction]
