from __future__ import annotations

from pathlib import Path

import pytest

from hkd_edge.recipe import load_recipe


def test_an_override_takes_the_place_of_the_file_s_value(small):
    assert load_recipe(small, ["distill.temperature=2"]).distill.temperature == 2


def test_the_later_override_wins(small):
    assert load_recipe(small, ["seed=1", "seed=2"]).seed == 2


def test_an_override_is_read_as_yaml(small):
    architecture = "student.architecture={stem_width: 4, widths: [8], blocks: [0]}"
    recipe = load_recipe(small, [architecture, "augment.flip=true", "distill.training.weight_decay=1e-4"])
    assert recipe.student.architecture.widths == (8,)
    assert recipe.augment.flip is True
    assert recipe.distill.training.weight_decay == 1e-4


def test_an_override_may_hold_an_equals_sign(small):
    assert load_recipe(small, ["data.root=/a=b"]).data.root == "/a=b"


def test_a_relative_path_in_an_override_starts_from_the_current_folder(small):
    recipe = load_recipe(small, ["concepts.hierarchy=mine/h.yaml"]).in_folder(Path("elsewhere"))
    assert recipe.hierarchy_path == Path.cwd() / "mine" / "h.yaml"


def test_a_wrong_override_is_blamed_on_its_option(complaint):
    assert complaint(overrides=("distill.temperature=0",)) == (
        "--set distill.temperature=0: recipe.distill.temperature: expected a number > 0, got 0. "
        "Typical values are 1 to 10."
    )


def test_a_right_override_mends_a_wrong_file(complaint, write, small):
    text = Path(small).read_text(encoding="utf-8").replace("temperature: 4.0", "temperature: 0")
    assert load_recipe(write(text), ["distill.temperature=3"]).distill.temperature == 3


def test_a_section_that_an_override_begins_is_blamed_for_what_it_lacks(complaint):
    told = complaint(overrides=("task_teacher.training.epochs=5",))
    assert told.startswith("--set task_teacher.training.epochs=5: recipe.task_teacher.architecture: missing, expected")


def test_a_misspelt_key_is_told_the_nearest(complaint):
    assert complaint(overrides=("distill.temprature=4",)) == (
        "--set distill.temprature=4: unknown key. Did you mean 'distill.temperature'? "
        "Valid keys in recipe.distill: training, temperature, weights, teacher_warmup, teacher_decay, dkd, subclass, "
        "embedding, divide_prior, views, fresh_views, labelled_share."
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "temperature=4",
            "unknown key. Did you mean 'distill.temperature'? Valid keys in recipe: version, name,",
        ),
        ("recipe.distill.views=4", "unknown key. Did you mean 'distill.views'?"),
        ("student.architecture.widths.0=4", "unknown key. Did you mean 'student.architecture.widths'?"),
        ("seed.x=4", "unknown key. Did you mean 'seed'? Valid keys in recipe: version, name, seed,"),
        ("seed", "expected KEY=VALUE, got no =. For example: --set distill.temperature=4"),
        ("seed=", "expected a value after =, got none. For no value write null."),
        ("seed=[1", "not valid YAML: while parsing a flow sequence, expected ',' or ']'"),
        ("augment={flip: true, flip: true}", "recipe.augment: expected each key once"),
    ],
)
def test_an_override_that_cannot_be_put_in_says_why(complaint, override, expected):
    assert complaint(overrides=(override,)).startswith(f"--set {override}: {expected}")


def test_an_override_inside_something_that_is_no_section_leaves_that_to_be_told(complaint):
    told = complaint(("data: {dataset: digits}", "data: digits"), overrides=("data.download=false",))
    assert told == (
        "x.yaml:3: recipe.data: expected a section with the keys dataset, root, download, image_size, color, "
        "validation_fraction, test_fraction, split_seed, label_fraction, label_seed, unlabelled_classes, group_by, "
        'group_near_duplicates, max_unreadable, memory_mb, balance, got "digits".'
    )


def test_an_override_of_many_lines_is_told_on_one(complaint):
    assert complaint(overrides=("seed=\n-1",)).startswith(r"--set seed=\n-1: recipe.seed: expected a whole number")


def test_the_file_s_problems_come_before_those_of_overrides(complaint):
    told = complaint(("name: small", "name: a b"), overrides=("seed=-1", "sed=1"))
    assert [line.split(":")[0] for line in told.splitlines()] == ["x.yaml", "--set sed=1", "--set seed=-1"]
