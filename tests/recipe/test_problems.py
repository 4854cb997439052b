"""Each way in which a key can be wrong, and what is said about it."""

from __future__ import annotations

import pytest

from hkd_edge.recipe.problems import shown

TEMPERATURE = "temperature: 4.0"
DATASET = "dataset: digits"
EPOCHS = "epochs: 2"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            TEMPERATURE,
            "temperature: 0",
            "x.yaml:8: recipe.distill.temperature: expected a number > 0, got 0. Typical values are 1 to 10.",
        ),
        (
            TEMPERATURE,
            "temprature: 4.0",
            "x.yaml:8: recipe.distill.temprature: unknown key. Did you mean 'temperature'? "
            "Valid keys: training, temperature, weights, teacher_warmup, teacher_decay, dkd, subclass, embedding, "
            "divide_prior, views, fresh_views, labelled_share.",
        ),
        (
            TEMPERATURE,
            "temperature: true",
            "x.yaml:8: recipe.distill.temperature: expected a number > 0, got true. Typical values are 1 to 10.",
        ),
        (
            TEMPERATURE,
            "temperature: .inf",
            "x.yaml:8: recipe.distill.temperature: expected a number > 0, got inf, which is not finite. "
            "Typical values are 1 to 10.",
        ),
        (
            TEMPERATURE,
            "temperature:",
            "x.yaml:8: recipe.distill.temperature: expected a number > 0, got null. Typical values are 1 to 10.",
        ),
        (
            TEMPERATURE,
            "divide_prior: no",
            'x.yaml:8: recipe.distill.divide_prior: expected true or false, got "no".',
        ),
        (
            TEMPERATURE,
            "weights: 1",
            "x.yaml:8: recipe.distill.weights: expected a section with the keys "
            "ce, concept, embedding, relational, concept_labels, kd, dkd, subclass, got 1.",
        ),
        (
            TEMPERATURE,
            "views: 1.0",
            "x.yaml:8: recipe.distill.views: expected a whole number >= 1, got 1.0. Typical values are 1 to 16.",
        ),
        (
            EPOCHS,
            'epochs: "2"',
            'x.yaml:7: recipe.distill.training.epochs: expected a whole number >= 1, got "2". '
            "Typical values are 3 to 200.",
        ),
        (
            EPOCHS,
            "batch_size: 8",
            "x.yaml:7: recipe.distill.training.epochs: missing, expected a whole number >= 1. "
            "Typical values are 3 to 200.",
        ),
        (
            EPOCHS,
            "epochs: 2, momentum: 1",
            "x.yaml:7: recipe.distill.training.momentum: expected a number >= 0 and < 1, got 1. "
            "Typical values are 0.8 to 0.95.",
        ),
        (
            DATASET,
            "dataset: digts",
            'x.yaml:3: recipe.data.dataset: expected one of "fashion_mnist", "digits", "folder", "list", got "digts". '
            "Did you mean 'digits'?",
        ),
        (
            DATASET,
            "dataset: digits, root: [a]",
            "x.yaml:3: recipe.data.root: expected null or a path, got a list.",
        ),
        ("version: 1", "version: 2", "x.yaml:1: recipe.version: expected the number 1, got 2."),
        ("version: 1", "version: true", "x.yaml:1: recipe.version: expected the number 1, got true."),
        (
            "name: small",
            "name: a b",
            'x.yaml:2: recipe.name: expected a name of letters, digits, "_" and "-", got "a b".',
        ),
        (
            "name: small",
            "name: small\ndevice: gpu",
            'x.yaml:3: recipe.device: expected "auto", "cpu", "cuda" or "cuda:0" (with any number), got "gpu".',
        ),
        (
            "[16, 32]",
            "[]",
            "x.yaml:5: recipe.student.architecture.widths: expected null or a list of at least one entry, "
            "each a whole number >= 1, got an empty list. Typical values are 8 to 256 each.",
        ),
        (
            DATASET,
            "dataset: digits, unlabelled_classes: 5",
            'x.yaml:3: recipe.data.unlabelled_classes: expected a list, each text, got 5. Typical values are ["Coat"].',
        ),
        (
            "[16, 32]",
            "[16, 0]",
            "x.yaml:5: recipe.student.architecture.widths[1]: expected a whole number >= 1, got 0.",
        ),
        (
            "student:",
            "teacher: 5\nstudent:",
            "x.yaml:4: recipe.teacher: expected null or a section with the keys architecture, training, members, "
            "checkpoint, foreign, got 5.",
        ),
    ],
)
def test_a_wrong_key_is_told_what_was_expected_and_what_arrived(complaint, old, new, expected):
    assert expected in complaint((old, new)).splitlines()


def test_a_missing_section_is_told_its_keys(complaint):
    told = complaint(
        ("distill:", "export:\n  opset: 20\naugment:"), ("  training: {epochs: 2}\n  temperature: 4.0\n", "")
    )
    assert "x.yaml:1: recipe.distill: missing, expected a section with the keys training," in told


def test_all_problems_are_told_at_once_from_top_to_bottom(complaint):
    told = complaint(
        ("name: small", "name: small\nsed: 1"),
        ("[1, 0]", "[1, x]"),
        ("[16, 32]", "[16]"),
        (TEMPERATURE, "temperature: -1\n  weights: {kd: 1}"),
    )
    paths = [line.split(": ")[:2] for line in told.splitlines()]
    assert paths == [
        ["x.yaml:3", "recipe.sed"],
        ["x.yaml:6", "recipe.student.architecture.blocks[1]"],
        ["x.yaml:6", "recipe.student.architecture.blocks"],
        ["x.yaml:9", "recipe.distill.temperature"],
        ["x.yaml:10", "recipe.distill.weights.kd"],
    ]


def test_a_repeated_key_is_told_together_with_the_other_problems(complaint):
    told = complaint((TEMPERATURE, "temperature: 0\n  temperature: 4"))
    assert told.splitlines() == [
        "x.yaml:8: recipe.distill.temperature: expected a number > 0, got 0. Typical values are 1 to 10.",
        "x.yaml:9: recipe.distill.temperature: expected each key once, got it again after line 8.",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (False, "false"),
        ({}, "an empty section"),
        ({"a": 1}, "a section"),
        ([1], "a list"),
        (1.5, "1.5"),
    ],
)
def test_values_are_shown_as_yaml_has_them(value, expected):
    assert shown(value) == expected


def test_text_cannot_steer_a_terminal():
    assert shown("\x1b[2J\x7f\n") == r'"\u001b[2J\x7f\n"'


def test_long_text_is_shown_shortened():
    assert len(shown("x" * 1000)) == 62
