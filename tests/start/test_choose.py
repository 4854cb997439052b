"""What is chosen for a set of images, and that the reasons are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hkd_edge.models.build import build
from hkd_edge.models.network import count_parameters
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.start.choose import (
    MOST_EPOCHS,
    SIZES,
    Facts,
    Pace,
    choose,
    epochs_between,
    sizes_to_try,
    student_architecture,
    teacher_architecture,
)

FACTS = Facts(classes=4, training=1000, validation=200, axes=("kind",), size=64, imbalance=1.0)


def pace(size: int, milliseconds: float) -> Pace:
    return Pace(size, milliseconds / 1e3, milliseconds / 1e3)


def test_epochs_fill_the_budget() -> None:
    choice = choose(FACTS, [pace(64, 2.0)], budget_s=200)
    least, most = epochs_between(FACTS.training)
    assert least < choice.epochs < most
    assert 160 < choice.seconds <= 200


def test_a_fast_machine_does_not_train_for_ever() -> None:
    assert choose(FACTS, [pace(64, 0.01)], budget_s=600).epochs == epochs_between(FACTS.training)[1] == MOST_EPOCHS[1]


def test_a_slow_machine_gets_smaller_images_and_is_told_why() -> None:
    choice = choose(FACTS, [pace(64, 40.0), pace(32, 2.0)], budget_s=200)
    assert choice.size == 32
    assert "image_size 32 and not 64: 60 epochs at 64 would take 40 minutes or more here" in choice.reasons[0]


def test_few_images_are_seen_more_often_and_many_less() -> None:
    assert [epochs_between(images) for images in (100, 1600, 8000, 10**6)] == [(60, 120), (50, 120), (20, 60), (20, 60)]


def test_where_nothing_fits_the_smallest_is_trained_all_the_same() -> None:
    choice = choose(FACTS, [pace(64, 400.0), pace(32, 100.0)], budget_s=1)
    assert (choice.size, choice.epochs) == (32, epochs_between(FACTS.training)[0])
    assert choice.seconds > 1


def test_without_concepts_there_is_no_teacher_and_its_time_is_not_counted() -> None:
    alone = choose(replace(FACTS, axes=()), [pace(64, 2.0)], budget_s=200)
    assert alone.teacher is None
    assert alone.epochs > choose(FACTS, [pace(64, 2.0)], budget_s=200).epochs
    assert any("concepts suggest" in reason for reason in alone.reasons)


def test_rare_classes_are_weighed() -> None:
    assert choose(replace(FACTS, imbalance=3.5), [pace(64, 4.0)], 200).balance == "weights"
    assert choose(FACTS, [pace(64, 4.0)], 200).balance == "none"


@pytest.mark.parametrize(("unlabelled", "share"), [(900, 0.5), (500, 0.5), (100, 0.9)])
def test_images_without_a_class_get_a_share_of_each_batch_and_the_concepts_more_weight(
    unlabelled: int, share: float
) -> None:
    choice = choose(replace(FACTS, unlabelled=unlabelled), [pace(64, 4.0)], 200)
    assert choice.labelled_share == share
    assert choice.concept_weight > choose(FACTS, [pace(64, 4.0)], 200).concept_weight
    assert any(f"{unlabelled:,} of 1,000 training images have no class" in reason for reason in choice.reasons)


def test_where_all_images_have_a_class_no_share_is_chosen() -> None:
    assert choose(FACTS, [pace(64, 4.0)], 200).labelled_share is None


@pytest.mark.parametrize(("validation", "accuracy"), [(6000, 99.0), (598, 99.0), (200, 97.0), (120, 95.0), (30, 90.0)])
def test_wanted_accuracies_are_those_that_validation_images_can_prove(validation: int, accuracy: float) -> None:
    assert choose(replace(FACTS, validation=validation), [pace(64, 4.0)], 200).accuracy == accuracy


def test_few_validation_images_get_looser_gates() -> None:
    few, many = (choose(replace(FACTS, validation=count), [pace(64, 4.0)], 200).gates for count in (50, 5000))
    assert (few["max_top1_drop"], many["max_top1_drop"]) == (6.3, 0.6)
    # 2,000 times int8 answers some of 50 images otherwise, to the better or the worse: few lose more by chance.
    generator = np.random.default_rng(0)
    changes = generator.choice([1, -1, 0], p=[0.025, 0.025, 0.95], size=(2000, 50)).sum(axis=1)
    assert 0.001 < np.mean(-100 * changes / 50 > few["max_top1_drop"]) < 0.05


def test_smaller_sizes_are_tried_in_turn() -> None:
    assert sizes_to_try(96) == (96, 64, 32)
    assert sizes_to_try(50) == (50, 32)
    assert sizes_to_try(20) == (20,)


@pytest.mark.parametrize("size", [20, *SIZES])
def test_students_and_teachers_of_every_size_can_be_built(size: int) -> None:
    student, teacher = (
        build(Architecture.model_validate(make(size)), 3, 10) for make in (student_architecture, teacher_architecture)
    )
    assert count_parameters(student) < (100_000 if size < 96 else 600_000)
    assert count_parameters(teacher) > 50_000
