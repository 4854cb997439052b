from __future__ import annotations

import pytest
from pydantic import ValidationError

from hkd_edge.recipe import Recipe, load_recipe
from hkd_edge.recipe.rules import broken_rules

TEACHER = "{architecture: {stem_width: 8, widths: [8], blocks: [1]}, training: {epochs: 1}}"


@pytest.mark.parametrize("name", ["concept", "embedding", "relational", "subclass"])
def test_a_loss_of_the_concept_teacher_needs_one(complaint, name):
    assert complaint(overrides=(f"distill.weights.{name}=0.5",)) == (
        f"--set distill.weights.{name}=0.5: recipe.distill.weights.{name}: expected a teacher "
        f"for a weight > 0, got 0.5 while recipe.teacher is null. Describe teacher or set {name} to 0."
    )


@pytest.mark.parametrize("name", ["kd", "dkd"])
def test_kd_needs_a_task_teacher(complaint, small, name):
    weight = f"distill.weights.{name}=1"
    assert "expected a task_teacher for a weight > 0, got 1" in complaint(overrides=(weight,))
    assert load_recipe(small, [weight, f"task_teacher={TEACHER}"]).task_teacher is not None


def test_a_concept_teacher_needs_a_hierarchy(complaint, small):
    assert complaint(("student:", f"teacher: {TEACHER}\nstudent:")) == (
        "x.yaml:1: recipe.concepts.hierarchy: expected the path of a hierarchy, since recipe.teacher learns "
        "its concepts, got null. Name the file or set teacher to null."
    )


def test_a_student_needs_some_loss(complaint):
    assert complaint(overrides=("distill.weights.ce=0",)) == (
        "--set distill.weights.ce=0: recipe.distill.weights: expected at least one weight > 0, got 0 "
        "for all of them. Set ce to 1."
    )


def test_every_width_needs_its_blocks(complaint):
    assert complaint(("[1, 0]", "[1]")) == (
        "x.yaml:5: recipe.student.architecture.blocks: expected as many entries as widths (2), got 1."
    )


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("targets=[openvino, openvino]", "targets", "expected each entry once, got openvino again."),
        (
            "precisions=[int8]",
            "precisions",
            "expected fp32 among them, got int8. The others are made from it: add it.",
        ),
        (
            "calibration_images=0",
            "calibration_images",
            "expected a whole number >= 1 for int8, got 0. Give it images or leave int8 out of precisions.",
        ),
    ],
)
def test_an_impossible_export_is_refused(complaint, override, key, expected):
    told = complaint(overrides=(f"export.{override}",))
    assert told == f"--set export.{override}: recipe.export.{key}: {expected}"


def test_fp32_alone_needs_no_calibration(small):
    recipe = load_recipe(small, ["export.precisions=[fp32]", "export.calibration_images=0"])
    assert recipe.export.calibration_images == 0


def test_the_rules_hold_for_a_recipe_made_in_python_too(small):
    values = load_recipe(small).model_dump(by_alias=True)
    values["distill"]["weights"] = {"ce": 1.0, "kd": 1.0}
    with pytest.raises(ValidationError, match=r"recipe\.distill\.weights\.kd: expected a task_teacher"):
        Recipe.model_validate(values)


@pytest.mark.parametrize("junk", [None, 5, "x", True, [], [{}], {}, {"weights": 5}, {"weights": {"kd": "x"}}])
def test_values_of_wrong_types_break_no_rule(junk):
    assert list(broken_rules(dict.fromkeys(("student", "distill", "export", "concepts"), junk))) == []


def test_concept_labels_need_a_hierarchy(complaint):
    assert complaint(overrides=("distill.weights.concept_labels=1",)) == (
        "--set distill.weights.concept_labels=1: recipe.distill.weights.concept_labels: expected a hierarchy for a "
        "weight > 0, got 1 while recipe.concepts.hierarchy is null. Name the file or set concept_labels to 0."
    )
