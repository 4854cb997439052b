"""What a comparison finds in answers whose difference is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hkd_edge.compare.comparison import Comparison, compare_runs
from hkd_edge.compare.runs import STUDENT, ComparedRun, read_runs
from hkd_edge.compare.words import found, notes
from hkd_edge.evaluate.result import Validation
from hkd_edge.evaluate.statistics import Pairs, holm, mcnemar, pairs_of
from tests.compare.conftest import Compose


@pytest.fixture
def runs(compose: Compose) -> tuple[ComparedRun, ...]:
    return read_runs([compose("plain", 0, 0.25), compose("distilled", 1, 0.05), compose("other", 2, 0.25)])


def answering(run: ComparedRun, title: str, right: list[bool]) -> ComparedRun:
    """A run with a student alone, which is right on these images."""
    return replace(run, title=title, right={STUDENT: np.array(right)}, labels=np.arange(len(right)) % 4)


def of_counts(run: ComparedRun, only_first: int, only_second: int, both: int = 400) -> Comparison:
    """Two students that are right on so many images alone."""
    first = [True] * (only_first + both) + [False] * only_second
    second = [False] * only_first + [True] * (both + only_second)
    return compare_runs([answering(run, "A", first), answering(run, "B", second)])


def test_each_run_is_held_against_the_baseline_by_every_common_subject(runs: tuple[ComparedRun, ...]) -> None:
    comparison = compare_runs(runs, baseline=1)
    assert comparison.baseline == "distilled"
    assert [(each.run, each.subject) for each in comparison.paired[::5]] == [("plain", STUDENT), ("other", STUDENT)]
    student = comparison.paired[0]
    assert student.pairs == pairs_of(runs[1].right[STUDENT], runs[0].right[STUDENT])
    assert student.difference.points == pytest.approx(
        runs[0].validation.reference.test.top1 - runs[1].validation.reference.test.top1
    )


def test_p_values_are_corrected_over_the_whole_comparison(runs: tuple[ComparedRun, ...]) -> None:
    paired = compare_runs(runs).paired
    assert len(paired) == 10
    assert tuple(each.corrected_p_value for each in paired) == holm([mcnemar(each.pairs).p_value for each in paired])
    assert [each.significant for each in paired] == [each.corrected_p_value < 0.05 for each in paired]
    assert {each.significant for each in paired} == {True, False}


def test_a_significant_difference_is_told_by_class(runs: tuple[ComparedRun, ...]) -> None:
    significant, not_told = (compare_runs(runs).paired[index] for index in (0, 5))
    assert sum(pairs.images for pairs in significant.classes.values()) == 200
    assert sum(pairs.only_second for pairs in significant.classes.values()) == significant.pairs.only_second
    assert not_told.classes == {}


def test_what_only_one_run_has_is_named_and_not_compared(compose: Compose, drawn: Validation) -> None:
    fewer = compose("fewer", rows=drawn.rows[:1])
    comparison = compare_runs(read_runs([compose("all"), fewer]))
    assert [each.subject for each in comparison.paired] == [STUDENT, "onnxruntime fp32"]
    assert comparison.not_paired[0] == "onnxruntime int8: all has it, fewer has not"
    assert "Not compared: tensorrt int8: all has it, fewer has not." in list(notes(comparison))


def test_only_keys_that_differ_are_told(compose: Compose) -> None:
    first = compose("a", 0, recipe="data: {root: null}\ntask_teacher: null")
    second = compose("b", 1, recipe="data: {root: null}\ntask_teacher: {training: {epochs: 3}}")
    keys = {each.key: each.values for each in compare_runs(read_runs([first, second])).recipe}
    assert keys == {
        "seed": ("0", "1"),
        "task_teacher": ("null", None),
        "task_teacher.training.epochs": (None, "3"),
    }


def test_latencies_of_other_machines_are_marked(compose: Compose, drawn: Validation) -> None:
    slower = replace(drawn.machine, facts={**drawn.machine.facts, "cpu": "1 x another"}, threads=2)
    comparison = compare_runs(read_runs([compose("a"), compose("b", machine=slower)]))
    assert {each.key for each in comparison.machine} == {"facts.cpu", "threads"}
    assert any("under different conditions" in note for note in notes(comparison))


@pytest.mark.parametrize(
    ("only_first", "only_second", "said"),
    [
        (23, 60, "B is right on 60 images where A is wrong, A on 23 where B is wrong: +7.66 points [+4.06, +11.43], "
         "p < 0.001 after Holm. B is more accurate."),
        (60, 23, "p < 0.001 after Holm. A is more accurate."),
        (12, 10, "-0.47 points [-2.84, +1.84], p = 0.83 after Holm. "
         "Which one is more accurate cannot be told from 422 images."),
        (0, 5, "p = 0.062 after Holm. Which one is more accurate cannot be told from 405 images: the interval leaves 0 "
         "out, but McNemar's test, which is stricter, does not pass (p = 0.062)."),
        (0, 0, "B and A are right on the same 400 images: 0.00 points [-0.95, +0.95]. "
         "Which one is more accurate cannot be told from 400 images."),
    ],
)  # fmt: skip
def test_a_sentence_says_what_can_be_told_and_what_not(
    runs: tuple[ComparedRun, ...], only_first: int, only_second: int, said: str
) -> None:
    comparison = of_counts(runs[0], only_first, only_second)
    assert found(comparison, comparison.paired[0]).endswith(said)


def test_what_passes_alone_but_not_as_one_of_several_says_so(runs: tuple[ComparedRun, ...]) -> None:
    base = answering(runs[0], "A", [True] * 90 + [False] * 10)
    slightly = answering(runs[0], "B", [True] * 97 + [False] * 3)
    comparison = compare_runs(
        [base, slightly, *(answering(runs[0], name, list(base.right[STUDENT])) for name in "CDE")]
    )
    text = found(comparison, comparison.paired[0])
    assert "p = 0.062 after Holm" in text
    assert "alone it would be significant (p = 0.016), as one of 4 comparisons it is not." in text


def test_the_json_has_method_counts_and_verdicts(runs: tuple[ComparedRun, ...], tmp_path: Path) -> None:
    stored = json.loads(json.dumps(compare_runs(runs).to_json(), allow_nan=False))
    assert (stored["format"], stored["format_version"]) == ("hkd-edge-comparison", 1)
    assert stored["method"]["correction"] == "Holm"
    assert [run["title"] for run in stored["runs"]] == ["plain", "distilled", "other"]
    assert Pairs(**stored["paired"][0]["pairs"]).images == 200
    assert stored["paired"][0]["significant"] is True
    assert stored["recipe"] == [{"key": "seed", "values": ["0", "1", "2"]}]
