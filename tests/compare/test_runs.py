"""What a run directory tells a comparison, and the runs that cannot be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hkd_edge.compare.runs import STUDENT, read_runs
from hkd_edge.errors import RunDirectoryError
from hkd_edge.evaluate.result import Validation, read_answers, write_validation
from hkd_edge_runtime.hierarchy import Hierarchy
from tests.compare.conftest import Compose


def test_a_run_is_read_with_its_recipe_times_and_right_answers(compose: Compose) -> None:
    first, second = read_runs([compose("a", recipe="distill: {weights: {kd: 0.5}}"), compose("b", 1)])
    assert (first.title, second.title) == ("a", "b")
    assert first.recipe == {"version": 1, "seed": 0, "distill.weights.kd": 0.5}
    assert first.stage_seconds == {"distill": 20.5, "teach": 10.0}
    assert list(first.right) == [STUDENT, "onnxruntime fp32", "onnxruntime int8", "openvino int8", "tensorrt int8"]
    assert 100 * first.right[STUDENT].mean() == pytest.approx(first.validation.reference.test.top1)


def test_runs_of_one_name_are_told_apart_by_their_folders(compose: Compose) -> None:
    runs = read_runs([compose("x/run"), compose("y/run")])
    assert [run.title for run in runs] == ["x/run", "y/run"]


def test_hierarchies_of_one_name_are_compared_by_what_they_say(compose: Compose) -> None:
    runs = [compose("a"), compose("b")]
    for run, axis in zip(runs, ("kind", "shape"), strict=True):
        (run / "hierarchy.yaml").write_text(f"axes: {{{axis}: {{tops: [shirt], rest: [boot]}}}}")
    assert [run.recipe.get("hierarchy.axes.kind.tops") for run in read_runs(runs)] == [["shirt"], None]


def test_the_same_file_seen_from_two_runs_is_no_difference(compose: Compose) -> None:
    runs = read_runs(
        [compose("a", recipe="data: {root: ../images}"), compose("x/b", recipe="data: {root: ../../images}")]
    )
    assert runs[0].recipe["data.root"] == runs[1].recipe["data.root"]


def test_a_folder_that_is_no_run_is_refused(compose: Compose, tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"expected a run directory, got .* hkd-edge run RECIPE"):
        read_runs([compose("a"), tmp_path / "nothing"])


def test_a_run_without_validation_is_refused(compose: Compose) -> None:
    run = compose("b")
    (run / "validation.json").unlink()
    with pytest.raises(RunDirectoryError, match=r"expected a validated run, .*Run: hkd-edge validate"):
        read_runs([compose("a"), run])


def test_the_same_run_twice_is_refused(compose: Compose) -> None:
    run = compose("a")
    with pytest.raises(RunDirectoryError, match="expected each run once, got .* again"):
        read_runs([run, run / ".." / "a"])


def test_other_test_images_are_refused(compose: Compose) -> None:
    with pytest.raises(RunDirectoryError, match=r"expected the test images of .*abababababab.*cdcdcdcdcdcd"):
        read_runs([compose("a"), compose("b", fingerprint="cd" * 32)])


def test_other_names_of_classes_are_refused(compose: Compose, drawn: Validation) -> None:
    renamed = Hierarchy(("shirt", "coat", "sandal", "shoe"), drawn.hierarchy.axes)
    with pytest.raises(RunDirectoryError, match=r"expected the classes of .*boot\), got .*shoe"):
        read_runs([compose("a"), compose("b", hierarchy=renamed)])


def test_answers_that_do_not_come_to_the_told_accuracy_are_refused(compose: Compose, drawn: Validation) -> None:
    test = replace(drawn.reference.test, top1=drawn.reference.test.top1 - 0.6)
    with pytest.raises(RunDirectoryError, match=r"answers that fit validation.json, reference: .* % right"):
        read_runs([compose("a"), compose("b", reference=replace(drawn.reference, test=test))])


@pytest.mark.parametrize(("shape", "said"), [(None, "the array openvino-int8"), ((200, 3), r"got \(200, 3\)")])
def test_missing_and_misshapen_answers_are_refused(
    compose: Compose, drawn: Validation, shape: tuple[int, int] | None, said: str
) -> None:
    run = compose("b")
    answers = read_answers(run)
    del answers["openvino-int8"]
    if shape:
        answers["openvino-int8"] = np.zeros(shape, np.float32)
    write_validation(run, drawn, answers)
    with pytest.raises(RunDirectoryError, match=said):
        read_runs([compose("a"), run])


def test_a_damaged_stamp_is_refused(compose: Compose) -> None:
    run = compose("b")
    (run / "stages" / "teach.json").write_text("{}")
    with pytest.raises(RunDirectoryError, match=r"teach.json: expected the stamp of a stage.*hkd-edge teach"):
        read_runs([compose("a"), run])
