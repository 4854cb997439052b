from __future__ import annotations

import pytest

from hkd_edge.study.command import find_study
from hkd_edge.study.load import load_study
from hkd_edge.study.methods import READY


def test_a_cell_has_its_seed_labels_and_method(study_file):
    plan = load_study(study_file(("[0]", "[3, 4]")))
    last = plan.cells[-1]
    assert last.cell.title == "hkd_concept, student base, 10 % of the labels, seed 4"
    assert (last.recipe.seed, last.recipe.data.label_seed, last.recipe.data.label_fraction) == (4, 4, 0.1)
    assert last.recipe.distill.weights.concept == 1.0
    assert [planned.cell.method for planned in plan.cells] == ["scratch", "hkd_concept"] * 2


def test_a_ready_method_leaves_nothing_of_the_bases_mixture(study_file):
    scratch = load_study(study_file()).cells[0].recipe
    assert scratch.distill.weights.model_dump() == {
        **dict.fromkeys(("concept", "embedding", "relational", "subclass", "concept_labels", "kd", "dkd"), 0.0),
        "ce": 1.0,
    }


@pytest.mark.parametrize("name", READY)
def test_every_ready_method_is_a_recipe(study_file, name):
    teacher = "task_teacher: {architecture: {stem_width: 8, widths: [8], blocks: [0]}, training: {epochs: 1}}"
    file = study_file(
        ("  scratch: {}", f"  scratch: {{}}\n  {name}x: {{like: {name}}}"), ("set:", f"set:\n  {teacher}")
    )
    assert len(load_study(file).cells) == 3


def test_variants_are_cells_of_their_own(study_file):
    variants = "{variants: {a: {distill: {temperature: 2.0}}, b: {distill: {weights: {concept: 0.25}}}}}"
    cells = load_study(study_file(("hkd_concept: {}", f"hkd_concept: {variants}"))).cells[1:]
    assert [each.cell.full_method for each in cells] == ["hkd_concept/a", "hkd_concept/b"]
    assert [each.recipe.distill.temperature for each in cells] == [2.0, 4.0]
    assert [each.recipe.distill.weights.concept for each in cells] == [1.0, 0.25]


def test_students_change_the_recipe(study_file):
    students = "students:\n  wide: {student: {architecture: {stem_width: 12}}}\nseeds: [0]"
    architecture = load_study(study_file(("seeds: [0]", students))).cells[0].recipe.student.architecture
    assert (architecture.stem_width, architecture.widths) == (12, (16, 32))


def test_all_unmet_classes_are_left_out_in_turn_at_all_labels(study_file):
    plan = load_study(study_file(("baselines", "unmet_classes: all\nbaselines")))
    unmet = [planned for planned in plan.cells if planned.cell.unmet]
    assert [planned.cell.unmet for planned in unmet[::2]] == list("0123456789")
    assert unmet[0].recipe.data.unlabelled_classes == ("0",)
    assert unmet[0].recipe.data.label_fraction == 1.0


def test_a_path_in_an_override_starts_from_the_study(study_file, tmp_path):
    recipe = load_study(study_file(("set:", "set:\n  concepts: {hierarchy: own.yaml}"))).cells[0].recipe
    assert recipe.hierarchy_path == tmp_path / "own.yaml"


def test_a_fault_in_a_method_is_told_with_its_line_in_the_study(complaint):
    told = complaint(("hkd_concept: {}", "hkd_concept: {distill: {temprature: 2}}"))
    assert told.startswith("study.yaml:10: recipe.distill.temprature: unknown key. Did you mean 'temperature'?")


def test_a_method_that_needs_a_teacher_is_told_so(complaint):
    told = complaint(("hkd_concept: {}", "kd: {}"))
    assert "method kd: recipe.distill.weights.kd: expected a task_teacher for a weight > 0" in told


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seeds: [0]", "sedes: [0]", "study.yaml:11: study.sedes: unknown key. Did you mean 'seeds'?"),
        ("seeds: [0]", "seeds: [-1]", "study.yaml:11: study.seeds[0]: expected a list of whole numbers >= 0, got -1."),
        ("seeds: [0]", "seeds: [1, 1]", "study.yaml:11: study.seeds: expected each entry once, got 1 again."),
        ("[0.1]", "[2.0]", "study.label_budgets[0]: expected a list of numbers > 0 and <= 1, got 2.0."),
        ("base: digits\n", "", "study.yaml:1: study.base: expected text, got none."),
        (
            "baselines: [scratch]",
            "baselines: [scrach]",
            "study.baselines[0]: expected one of scratch, hkd_concept, got 'scrach'. Did you mean 'scratch'?",
        ),
        (
            "hkd_concept: {}",
            "x: {like: kdd}",
            "study.methods.x.like: expected one of scratch, label_smoothing,",
        ),
        (
            "hkd_concept: {}",
            "x: {seed: 4}",
            "study.yaml:10: study.methods.x.seed: expected no such key here, since cells differ in it.",
        ),
        ("hkd_concept: {}", "x: {variants: 3}", "study.methods.x.variants: expected sections of a recipe's keys"),
        ("version: 1", "version: 2", "study.yaml:1: study.version: expected the number 1, got 2."),
        (
            "baselines",
            "unmet_classes: 3\nbaselines",
            'study.unmet_classes: expected "all" or a list of names of classes',
        ),
    ],
)
def test_a_wrong_key_is_told_what_was_expected(complaint, old, new, expected):
    assert expected in complaint((old, new))


def test_an_unknown_study_is_told_the_nearest():
    from hkd_edge.errors import RecipeError

    with pytest.raises(RecipeError, match=r"got 'digts'. Did you mean 'digits'\?"):
        find_study("digts")


def test_the_shipped_studies_load():
    names = sorted(path.stem for path in find_study("digits").parent.glob("*.yaml"))
    assert "digits" in names
    assert all(load_study(find_study(name)).study.name == name for name in names)
