"""A folder of colour pictures the whole way: the board's wrapper answers a JPEG as the evaluation did, to the bit."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hkd_edge.errors import HierarchyError
from hkd_edge.evaluate.result import read_answers, read_validation
from hkd_edge.pipeline import run_pipeline
from hkd_edge.recipe import load_recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge_runtime import load
from hkd_edge_runtime.manifest import read_manifest
from tests.data.drawn import CLASSES, write_pictures

Command = Callable[..., "subprocess.CompletedProcess[str]"]

RECIPE = """\
version: 1
name: photos
device: cpu
data: {dataset: folder, root: photos, image_size: SIZE, color: COLOR, balance: weights}
concepts: {hierarchy: HIERARCHY}
augment: {flip: true, shift_px: 2}
teacher: TEACHER
student: {architecture: {kind: plain, stem_width: 16, stem_stride: 2, widths: [16, 32], blocks: [0, 0]}}
distill: {training: {epochs: 3, batch_size: 16, learning_rate: 0.05}, weights: {concept: CONCEPT}}
export: {targets: [onnxruntime], precisions: [fp32, int8], calibration_images: 40}
validate:                        # a few steps of training make no good student: what counts here is that answers agree
  {max_top1_drop: 100, max_class_drop: 100, min_agreement: 0, int8_must_be_faster: false, latency_runs: 5,
   selective: {accuracy: 50}}
"""
TEACHER = """
  architecture: {stem_width: 8, widths: [16], blocks: [0]}
  training: {epochs: 1, batch_size: 16, learning_rate: 0.05}
"""


def write_recipe(folder: Path, size: str, color: str, *, nested: bool) -> Path:
    words = {"SIZE": size, "COLOR": color, "HIERARCHY": "folders" if nested else "null"}
    words |= {"TEACHER": TEACHER if nested else "null", "CONCEPT": "0.5" if nested else "0"}
    text = RECIPE
    for word, value in words.items():
        text = text.replace(word, value)
    (folder / "photos.yaml").write_text(text)
    return folder / "photos.yaml"


@pytest.mark.parametrize(
    ("size", "color", "nested", "shape"),
    [
        pytest.param(
            "32", "auto", True, (32, 32, 3), marks=pytest.mark.slow
        ),  # as tests/start/test_photographs.py does
        pytest.param("64", "rgb", False, (64, 64, 3), marks=pytest.mark.slow),
        pytest.param("[48, 64]", "grey", True, (48, 64, 1), marks=pytest.mark.slow),
    ],
)
def test_the_wrapper_answers_a_jpeg_as_the_evaluation_did(
    tmp_path: Path, hkd_edge: Command, size: str, color: str, nested: bool, shape: tuple[int, int, int]
) -> None:
    photos = write_pictures(tmp_path / "photos", 20, nested=nested)
    result = hkd_edge("run", write_recipe(tmp_path, size, color, nested=nested), "-o", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert f"80 images of 4 classes at {' x '.join(map(str, shape))}, decoded now" in result.stderr
    rows = list(csv.DictReader((tmp_path / "run/data/images.csv").read_text().splitlines()))
    tested = [row for row in rows if row["split"] == "test"]
    answers, manifest = read_answers(tmp_path / "run"), read_manifest(tmp_path / "run/bundle")
    assert manifest.input.shape == shape
    assert manifest.labels == CLASSES
    assert [axis.name for axis in manifest.hierarchy.axes] == (["level_1"] if nested else [])
    assert [CLASSES[label] for label in answers["labels"]] == [row["class"] for row in tested]
    evaluated = evaluated_images(tmp_path / "run")
    for row in read_validation(tmp_path / "run").rows:
        with load(tmp_path / "run/bundle", row.target, row.precision) as model:
            for index, one in enumerate(tested):
                path = photos / one["path"]
                told, expected = model.predict(path), model.predict(evaluated[index])
                assert told.probabilities.tobytes() == expected.probabilities.tobytes()
                assert told.index == answers[row.array][index].argmax()
                logits = answers[row.array][index].astype(np.float64)
                softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
                # Those were of a batch, whose sums a runtime may take in another order.
                assert np.abs(told.probabilities - softmax).max() < 1e-5


def evaluated_images(run: Path) -> np.ndarray:
    """The pixels of the test images as the run has evaluated them."""
    return Context(load_recipe(str(run / "recipe.yaml")), run, Reporter(Console(quiet=True))).dataset.test.images


def told_by(recipe: Path, run: Path, until: str, *, resume: bool = False) -> str:
    """What a person is told by a run of `recipe` up to the stage `until`."""
    heard = io.StringIO()
    with Reporter(Console(file=heard, width=200)) as reporter:
        run_pipeline(load_recipe(str(recipe)), run, reporter, until=until, resume=resume)
    return heard.getvalue()


def test_a_changed_folder_is_noticed_and_an_unchanged_one_is_skipped(tmp_path: Path) -> None:
    photos, run = write_pictures(tmp_path / "photos", 6), tmp_path / "run"
    recipe = write_recipe(tmp_path, "32", "auto", nested=True)
    told_by(recipe, run, "data")
    facts = json.loads((run / "data/data.json").read_text())
    assert (facts["image_shape"], facts["balance"], facts["source"]) == ([32, 32, 3], "weights", "folder photos")
    assert sum(facts["images"].values()) == 24
    assert "done already, skipped" in told_by(run / "recipe.yaml", run, "data", resume=True)
    (photos / "round/ball/0000.jpg").unlink()
    assert "23 images of 4 classes at 32 x 32 x 3, decoded now" in told_by(recipe, run, "data", resume=True)


def test_what_was_found_is_kept_in_the_run(tmp_path: Path) -> None:
    photos, run = write_pictures(tmp_path / "photos", 6), tmp_path / "run"
    shutil.copy(photos / "round/ball/0000.jpg", photos / "cornered/box/ball.jpg")
    told = told_by(write_recipe(tmp_path, "32", "auto", nested=True), run, "data")
    assert "1 pictures have more than one label" in told
    findings = json.loads((run / "data/findings.json").read_text())
    assert findings["duplicates"][0]["names"] == ["cornered/box/ball.jpg", "round/ball/0000.jpg"]
    rows = list(csv.DictReader((run / "data/images.csv").read_text().splitlines()))
    sides = {row["path"]: row["split"] for row in rows}
    assert len(rows) == 25
    assert set(sides.values()) == {"train", "validation", "test"}
    assert sides["cornered/box/ball.jpg"] == sides["round/ball/0000.jpg"]


def test_given_splits_are_kept_with_their_numbers(tmp_path: Path) -> None:
    for start, name in enumerate(("train", "val", "test")):
        write_pictures(tmp_path / "photos" / name, 2, start=10 * start)
    told_by(write_recipe(tmp_path, "32", "auto", nested=True), tmp_path / "run", "data")
    findings = json.loads((tmp_path / "run/data/findings.json").read_text())
    assert findings["splits"] == {"test": 8, "train": 8, "validation": 8}


def test_folders_as_hierarchy_need_folders_above_the_classes(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", 6, nested=False)
    with pytest.raises(HierarchyError, match="expected folder photos to group its classes by concepts"):
        told_by(write_recipe(tmp_path, "32", "auto", nested=True), tmp_path / "run", "concepts")
