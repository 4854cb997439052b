"""Searches: what they may change, that they repeat, resume and see no test image, and how they are told."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from hkd_edge.errors import MissingDependencyError, TrainingError
from hkd_edge.recipe import load_recipe
from hkd_edge.study import engine, search, work
from hkd_edge.study.analysis import analyse
from hkd_edge.study.cells import TrialResult
from hkd_edge.study.draws import first_draws
from hkd_edge.study.load import load_study
from hkd_edge.study.ranges import used_ranges, with_values
from hkd_edge.study.search import Found, Trial, run_searches
from hkd_edge.study.write import study_lines, study_page
from tests.study.conftest import result, study

pytest.importorskip("optuna", reason="the extra `study` (optuna) is missing")

RANGES = """\
search:
  trials: 3
  ranges:
    distill.temperature: {low: 1.0, high: 8.0, log: true}
    distill.weights.concept: {low: 0.1, high: 3.0}
    distill.training.label_smoothing: [0.0, 0.1]
    distill.teacher_decay: [none, cosine]
baselines"""
TELL = [].append


def searched(study_file, *changes):
    return load_study(study_file(("baselines", RANGES), *changes))


def test_a_method_is_searched_over_what_it_has_use_of(study_file):
    scratch, hkd = searched(study_file).searches
    assert list(scratch.ranges) == ["distill.training.label_smoothing"]
    assert len(hkd.ranges) == 4


def test_a_method_may_have_ranges_of_its_own_and_leave_some_out(study_file):
    own = "hkd_concept: {ranges: {distill.temperature: null, distill.views: [1, 2]}}"
    _, hkd = searched(study_file, ("hkd_concept: {}", own)).searches
    assert "distill.temperature" not in hkd.ranges
    assert hkd.ranges["distill.views"] == [1, 2]


def test_the_share_of_labels_counts_under_a_budget_alone():
    recipe = with_values(load_recipe("digits"), {})
    ranges = {"distill.labelled_share": [0.25, 0.5], "distill.subclass.per_concept": [2, 4]}
    assert list(used_ranges(ranges, recipe, 0.1)) == ["distill.labelled_share"]
    assert used_ranges(ranges, recipe, 1.0) == {}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "distill.temperature:",
            "distill.temprature:",
            "study.search.ranges.distill.temprature: expected a key of distill, got 'distill.temprature'. "
            "Did you mean 'distill.temperature'?",
        ),
        ("{low: 1.0", "{low: 9.0", "study.search.ranges.distill.temperature: expected {low: NUMBER, high: NUMBER"),
        ("[none, cosine]", "[none]", "or a list of at least two values with low < high, got ['none']."),
        ("[none, cosine]", "[none, cosin]", "got {'distill.teacher_decay': 'cosin'}: teacher_decay: Input should be"),
        ("trials: 3", "trails: 3", "study.search.trails: unknown key. Did you mean 'trials'?"),
        ("trials: 3", "trials: 0", "study.search.trials: expected a whole number >= 1, got 0."),
        ("scratch: {}", "scratch: {variants: {a: {}}}", "variants: expected no variants beside a search, got some."),
        (
            "trials: 3",
            "trials: 3\n  set: {teacher: {}}",
            "study.search.set.teacher: expected the section distill alone",
        ),
    ],
)
def test_a_wrong_search_is_told_what_was_expected(complaint, old, new, expected):
    assert expected in complaint(("baselines", RANGES), (old, new))


def test_ranges_without_a_search_are_told(complaint):
    told = complaint(("scratch: {}", "scratch: {ranges: {distill.temperature: [1.0, 2.0]}}"))
    assert "study.methods.scratch.ranges: expected no ranges without a search" in told


def test_a_search_is_resumed_by_its_trials_and_finds_the_same(study_file, tmp_path, monkeypatch):
    """Trained once; then asked again with all trials done, and with the last one lost."""
    plan, folder = searched(study_file), tmp_path / "out"
    changed, found = run_searches(plan, folder, 1, TELL)
    assert [len(each.trials) for each in found] == [3, 3]
    assert found[1].trials[0].values["distill.temperature"] == 4.0  # the recipe as it is
    best = found[1].best.values
    assert changed.cells[1].recipe.distill.temperature == best["distill.temperature"]
    assert changed.cells[1].recipe.distill.weights.concept == best["distill.weights.concept"]
    assert not (folder / "cells").exists()

    lost = sorted((folder / "trials").glob("hkd_concept+trial002*"))
    lost[0].unlink()
    trained = []
    monkeypatch.setattr(engine, "run_trial", lambda job: trained.append(job) or work.run_trial(job))
    _, again = run_searches(plan, folder, 1, TELL)
    assert [_seen(each) for each in again] == [_seen(each) for each in found]
    assert [job.planned.cell.variant for job in trained] == ["trial002"]


def _seen(found: Found) -> list[tuple[object, object]]:
    return [(trial.values, trial.top1) for trial in found.trials]


def test_values_that_cannot_be_trained_are_a_failed_trial(study_file, tmp_path):
    wild = RANGES.replace(
        "distill.training.label_smoothing: [0.0, 0.1]", "distill.training.learning_rate: [1.0e+30, 2.0e+30]"
    )
    plan = load_study(study_file(("baselines", wild), ("  hkd_concept: {}\n", "")))
    with pytest.raises(TrainingError, match="scratch, student base, 0.1 of the labels: expected a trial that can be"):
        run_searches(plan, tmp_path / "out", 1, TELL)
    kept = json.loads(next((tmp_path / "out" / "trials").glob("*.json")).read_text())
    assert kept["top1"] is None


def test_without_optuna_its_pip_command_is_told(study_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hkd-edge\[study\]'"):
        run_searches(searched(study_file), Path(tmp_path), 1, TELL)


def test_the_page_shows_all_trials_and_the_best():
    trials = (Trial(0, {"distill.temperature": 4.0}, 91.0, 2.0), Trial(1, {"distill.temperature": 2.5}, 93.0, 2.0))
    ranges = {"distill.temperature": {"low": 1, "high": 8, "log": True}}
    found = Found("kd", "base", 1.0, ranges, (*trials, Trial(2, {"distill.temperature": 7.0}, None, 0.0)))
    report = analyse(study(["kd"], 1, []), [result("kd", 0, 90.0)], [found])
    told = "\n".join(study_lines(report))
    assert "| temperature 1 to 8, log | 3 | 1 | temperature 2.5 | 93.00 | 92.00 | 91.00 | 4.0 |" in told
    page = study_page(report)
    assert page.count("temperature 7.0") == 1
    assert report.to_json()["searches"][0]["trials"][1]["top1"] == 93.0


def test_methods_try_the_same_values_of_what_they_share(study_file, tmp_path, monkeypatch):
    control = "kd_concept_labels: {like: kd, distill: {weights: {concept_labels: 1.0}}}"
    teacher = "task_teacher: {architecture: {stem_width: 8, widths: [8], blocks: [0]}, training: {epochs: 1}}"
    both = "distill.weights.concept_labels: {low: 0.1, high: 3.0}\n    distill.weights.concept:"
    plan = searched(
        study_file,
        ("set:\n", f"set:\n  {teacher}\n"),
        ("distill.weights.concept:", both),
        ("  hkd_concept: {}", f"  hkd_concept: {{}}\n  kd_hkd: {{}}\n  {control}"),
    )
    monkeypatch.setattr(search, "run_jobs", _all_alike)
    _, found = run_searches(plan, tmp_path / "out", 1, TELL)
    tried = {each.method: [trial.values for trial in each.trials] for each in found}
    for name in ("distill.temperature", "distill.teacher_decay", "distill.training.label_smoothing"):
        drawn = [values[name] for values in tried["kd_hkd"]]
        assert [values[name] for values in tried["hkd_concept"]] == drawn
        assert [values[name] for values in tried["kd_concept_labels"]] == drawn
    weights = [values["distill.weights.concept"] for values in tried["kd_hkd"]]
    assert len(set(weights)) == 3
    assert [values["distill.weights.concept_labels"] for values in tried["kd_concept_labels"]] == weights


def _all_alike(jobs, processes, tell):
    return {job: TrialResult(job.planned.cell, job.key, 50.0, 1.0) for job in jobs}


def test_draws_fall_into_every_part_of_a_range():
    ranges = {
        "distill.temperature": {"low": 1.0, "high": 16.0, "log": True},
        "distill.views": {"low": 1, "high": 8},
        "distill.teacher_decay": ["none", "linear", "cosine", "late"],
    }
    drawn = first_draws(ranges, {"distill.views"}, 4, seed=0)
    assert sorted(int(math.log2(values["distill.temperature"])) for values in drawn) == [0, 1, 2, 3]
    assert {values["distill.teacher_decay"] for values in drawn} == {"none", "linear", "cosine", "late"}
    assert all(type(values["distill.views"]) is int and 1 <= values["distill.views"] <= 8 for values in drawn)
    assert drawn == first_draws(ranges, {"distill.views"}, 4, seed=0)
    assert drawn != first_draws(ranges, {"distill.views"}, 4, seed=1)
