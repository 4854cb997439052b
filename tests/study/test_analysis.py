from __future__ import annotations

import json

import pytest

from hkd_edge.study import words
from hkd_edge.study.analysis import analyse, labels_needed
from hkd_edge.study.tables import (
    contrasts_table,
    corruptions_table,
    efficiency_table,
    methods_table,
    robustness_table,
    unmet_table,
)
from hkd_edge.study.write import study_lines, study_page, write_study
from tests.study.conftest import drawn, result, study


def test_validation_images_choose_the_variant_and_not_test_images():
    results = [
        result("scratch", 0, 90.0),
        result("kd", 0, test=99.0, validation=91.0, variant="a"),
        result("kd", 0, test=80.0, validation=92.0, variant="b"),
    ]
    report = analyse(study(["scratch", "kd"], 1, ["scratch"]), results)
    assert [line.title for line in report.lines if line.chosen] == ["scratch", "kd/b"]
    assert [line.title for line in report.lines if line.best] == ["kd/b"]
    assert report.contrasts[0].paired.mean == pytest.approx(-10.0)


def test_differences_are_paired_by_seed():
    results = [result("scratch", seed, 80.0 + seed) for seed in range(3)]
    results += [result("kd", seed, 81.0 + 2 * seed) for seed in (2, 1, 0)]
    report = analyse(study(["scratch", "kd"], 3, ["scratch"]), results)
    assert report.contrasts[0].paired.differences == (1.0, 2.0, 3.0)


def test_of_unmet_classes_a_seed_counts_once():
    results = [
        result(method, seed, test + seed + shift, unmet=unmet)
        for method, test in (("scratch", 50.0), ("hkd", 70.0))
        for seed in range(2)
        for unmet, shift in (("1", 0.0), ("2", 10.0))
    ]
    report = analyse(study(["scratch", "hkd"], 2, ["scratch"]), results)
    assert report.lines[0].values["concept_mean"] == {0: 55.0, 1: 56.0}
    assert report.contrasts[0].measure == "concept_mean"
    assert report.lines[0].test["concept_mean"].seeds == 2
    table = unmet_table(report, report.settings[0])
    assert table.headers == ("method", "1", "2")
    assert table.rows == (("scratch", "50.50 ± 0.71", "60.50 ± 0.71"), ("hkd", "70.50 ± 0.71", "80.50 ± 0.71"))
    assert "| hkd | 70.50 ± 0.71 | 80.50 ± 0.71 |" in list(study_lines(report))
    assert unmet_table(analyse(study(["scratch"], 1, []), [result("scratch", 0, 90.0)]), report.settings[0]) is None


def test_two_baselines_against_each_other_are_corrected_as_one_comparison():
    report = analyse(study(["scratch", "kd"], 5, ["scratch", "kd"]), drawn(["scratch", "kd"], 5))
    assert [each.measure for each in report.contrasts] == ["top1", "robustness"] * 2
    for contrast in report.contrasts:
        assert contrast.corrected_p_value == pytest.approx(contrast.paired.p_value)


def test_what_cannot_be_told_is_said():
    results = [result("scratch", seed, 90.0 + seed) for seed in range(3)]
    results += [result("kd", seed, 90.0 + 2 - seed) for seed in range(3)]
    report = analyse(study(["scratch", "kd"], 3, ["scratch"]), results)
    assert words.found(report.contrasts[0]).endswith("which is better cannot be told.")


def test_a_difference_in_all_seeds_is_told():
    results = [result("scratch", seed, 80.0 + seed) for seed in range(5)]
    results += [result("kd", seed, 85.0 + seed + 0.1 * (seed % 2)) for seed in range(5)]
    report = analyse(study(["scratch", "kd"], 5, ["scratch"]), results)
    assert words.found(report.contrasts[0]).endswith("after Holm: better.")


def test_tables_show_means_deviations_and_both_splits():
    results = [result("scratch", 0, 80.0, 70.0), result("scratch", 1, 82.0, 72.0)]
    report = analyse(study(["scratch"], 2, []), results)
    row = methods_table(report, report.settings[0]).rows[0]
    assert row[1:3] == ("71.00 ± 1.41", "81.00 ± 1.41")
    assert contrasts_table(report, "scratch").rows == ()


def test_the_three_files_tell_the_same(tmp_path):
    methods = ["scratch", "kd", "hkd"]
    report = analyse(study(methods, 3, ["scratch", "kd"], [0.05, 1.0]), drawn(methods, 3, [0.05, 1.0]))
    files = write_study(tmp_path, report)
    content = json.loads(files[0].read_text())
    assert content["format"] == "hkd-edge-study"
    assert len(content["cells"]) == 18
    shown = f"{content['contrasts'][0]['paired']['mean']:+.2f}"
    assert shown in files[1].read_text()
    assert shown in files[2].read_text()


def test_the_page_repeats_its_bytes_and_shows_every_plot():
    report = analyse(study(["scratch", "kd"], 3, ["scratch"], [0.05, 1.0]), drawn(["scratch", "kd"], 3, [0.05, 1.0]))
    page = study_page(report)
    assert page == study_page(report)
    for name in ("differences-scratch", "budgets-base", "curves"):
        assert f'id="{name}-title"' in page


def test_without_baselines_and_with_one_seed_there_is_still_a_report():
    report = analyse(study(["scratch"], 1, []), [result("scratch", 0, 80.0)])
    assert "# Study drawn" in "\n".join(study_lines(report))
    assert "curves-title" in study_page(report)


def test_labels_needed_are_read_off_a_line_over_the_logarithm():
    assert labels_needed({1.0: 92.0, 0.1: 90.0, 0.01: 80.0}, 91.0) == pytest.approx(10**-0.5, abs=1e-4)
    assert labels_needed({0.01: 80.0, 0.1: 90.0}, 90.0) == 0.1


def test_the_first_time_that_it_is_reached_counts():
    assert labels_needed({0.01: 80.0, 0.1: 92.0, 1.0: 91.0}, 91.5) < 0.1


def test_a_method_is_told_with_the_labels_that_it_needs_for_what_scratch_reaches_with_all():
    given = {"scratch": (70.0, 90.0), "kd": (80.0, 100.0), "hkd": (95.0, 96.0), "worse": (60.0, 89.0)}
    results = [
        result(method, 0, accuracy, budget=budget)
        for method, accuracies in given.items()
        for budget, accuracy in zip((0.01, 1.0), accuracies, strict=True)
    ]
    table = efficiency_table(analyse(study(list(given), 1, [], [0.01, 1.0]), results))
    assert [row[3] for row in table.rows] == ["100", "10", "at most 1", "not reached"]
    assert {row[2] for row in table.rows} == {"90.00"}


def test_without_all_labels_nothing_is_told_of_efficiency():
    report = analyse(
        study(["scratch"], 1, [], [0.01, 0.1]), [result("scratch", 0, 80.0, budget=b) for b in (0.01, 0.1)]
    )
    assert efficiency_table(report) is None


def test_corruptions_are_told_by_kind_and_robustness_is_compared():
    results = [result("scratch", seed, 80.0 + seed) for seed in range(3)]
    results += [result("kd", seed, 81.0 + 2 * seed) for seed in range(3)]
    report = analyse(study(["scratch", "kd"], 3, ["scratch"]), results)
    row = corruptions_table(report, report.settings[0]).rows[0]
    assert row == ("scratch", "66.00", "66.00", "66.00 ± 1.00", "81.00 ± 1.00")
    assert robustness_table(report, "scratch").rows[0][3] == "+2.00"


def test_of_unmet_classes_no_robustness_is_told():
    report = analyse(study(["scratch"], 1, []), [result("scratch", 0, 50.0, unmet="1")])
    assert "test robustness %" not in methods_table(report, report.settings[0]).headers
