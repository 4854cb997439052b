"""Labels that are hidden: which are kept, what a step sees, and that hidden labels change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from hkd_edge.data.dataset import Dataset, ImageSet, Split
from hkd_edge.data.labelled import class_indices, labelled_images
from hkd_edge.data.resident import ResidentData
from hkd_edge.distill.cache import TeacherAnswers
from hkd_edge.distill.label_budget import budgeted_batch
from hkd_edge.distill.losses import concept_loss, dkd_loss
from hkd_edge.distill.student import DistillTask, Teachers
from hkd_edge.distill.teacher import AxisTables, ConceptTeacherTask, TaskTeacherTask
from hkd_edge.errors import DataError
from hkd_edge.models.build import build
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.recipe.schema import Augment, Distill, Training, Weights
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

LABELS = np.repeat(np.arange(4), 10)
LABELLED = np.array([0, 1, 11, 25, 33])
HIERARCHY = Hierarchy(tuple("abcd"), (Axis("kind", ("x", "y"), (0, 0, 1, 1)),))
INDICES = torch.arange(0, 40, 5)
TRAINING = Training(epochs=1)


@given(st.floats(0.01, 1.0), st.integers(0, 9))
def test_of_each_class_the_same_share_keeps_its_label(fraction, seed):
    kept = labelled_images(LABELS, fraction, [], seed)
    assert set(np.bincount(LABELS[kept])) == {max(1, round(10 * fraction))}
    assert (np.diff(kept) > 0).all()


def test_a_smaller_budget_is_part_of_a_larger_one():
    assert set(labelled_images(LABELS, 0.2, [], 3)) < set(labelled_images(LABELS, 0.5, [], 3))


def test_seeds_draw_other_images():
    assert set(labelled_images(LABELS, 0.2, [], 0)) != set(labelled_images(LABELS, 0.2, [], 1))


def test_a_hidden_class_keeps_no_label():
    assert set(LABELS[labelled_images(LABELS, 1.0, [2], 0)]) == {0, 1, 3}


def test_a_class_that_is_none_is_told_the_nearest():
    with pytest.raises(DataError, match=r"got 'Caot'. Did you mean 'Coat'\? Classes: Coat, Bag"):
        class_indices(["Caot"], ["Coat", "Bag"])
    with pytest.raises(DataError, match="expected a class with labels, got all"):
        class_indices(["Bag", "Coat"], ["Coat", "Bag"])


def test_with_all_labels_a_batch_stays_as_it_is():
    batch, labelled = budgeted_batch(INDICES, None, 0.5)
    assert batch is INDICES
    assert labelled == len(INDICES)


def test_an_epoch_sees_each_labelled_image_equally_often():
    labelled = torch.from_numpy(LABELLED)
    batches = [budgeted_batch(each, labelled, 1.0)[0] for each in torch.randperm(40).split(8)]
    assert torch.bincount(torch.cat(batches))[labelled].tolist() == [8] * 5


def test_every_batch_has_labels_first_and_others_behind():
    batch, count = budgeted_batch(INDICES, torch.from_numpy(LABELLED), 0.25)
    assert (count, len(batch)) == (2, 8)
    assert set(batch[:2].tolist()) <= set(LABELLED.tolist())
    assert torch.equal(batch[2:], INDICES[2:])


def resident(labels: np.ndarray, labelled: np.ndarray | None = LABELLED) -> ResidentData:
    """Drawn images with those labels."""
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    data = ImageSet(images, labels.astype(np.int64))
    everything = np.arange(40)
    split = Split(everything, everything, labelled)
    return ResidentData(Dataset("drawn", tuple("abcd"), data, data, "", ""), split, Augment(), 0, torch.device("cpu"))


def lied(kept: np.ndarray) -> np.ndarray:
    """Labels that are wrong on all images but those `kept`, also in their concept."""
    wrong = (LABELS + 2) % 4
    wrong[kept] = LABELS[kept]
    return wrong


def network(outputs: int = 4) -> Any:
    torch.manual_seed(0)
    return build(Architecture(stem_width=4, widths=(8,), blocks=(0,)), 1, outputs).eval()


def student_loss(data: ResidentData, **weights: float) -> float:
    settings = Distill(training=TRAINING, weights=Weights(**weights), views=1)
    return DistillTask(network(), data, HIERARCHY, settings, Teachers(None, None), "fp32").loss(0, INDICES).item()


def test_a_student_never_sees_a_hidden_label():
    assert student_loss(resident(LABELS)) == student_loss(resident(lied(LABELLED)))
    assert student_loss(resident(LABELS)) != student_loss(resident(LABELS, None))


def test_a_task_teacher_never_sees_a_hidden_label():
    first, second = (TaskTeacherTask(network(), resident(each), TRAINING, "fp32") for each in (LABELS, lied(LABELLED)))
    assert first.loss(0, INDICES).item() == second.loss(0, INDICES).item()


def test_a_concept_teacher_sees_the_concepts_of_all_images_and_no_class():
    within = np.array([1, 0, 3, 2])[LABELS]  # other classes of the same concepts
    losses = [
        ConceptTeacherTask(network(2), resident(each), HIERARCHY, TRAINING, "fp32").loss(0, INDICES).item()
        for each in (LABELS, within, lied(LABELLED))
    ]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_concept_labels_are_a_teacher_that_is_always_right():
    """Against the marginal loss with one-hot teacher logits, at temperature 1."""
    data = resident(LABELS, None)
    logits = network()(data.view_batch(0, INDICES))
    membership = torch.from_numpy(HIERARCHY.axes[0].membership())
    sure = 60 * F.one_hot(torch.tensor([0, 0, 1, 1])[data.train.labels[INDICES]], 2).float()
    expected = concept_loss(logits, [sure], [membership], 1.0).item()
    assert student_loss(data, ce=0.0, concept_labels=1.0) == pytest.approx(expected, abs=1e-5)


def test_concept_labels_are_seen_of_all_images():
    weights = {"ce": 0.0, "concept_labels": 1.0}
    assert student_loss(resident(LABELS), **weights) != student_loss(resident(lied(LABELLED)), **weights)


ROWS = ({"kind": "x"}, {"kind": "y"}, {"season": "winter"})  # of labels 4, 5 and 6; the axis is silent on the last


def partly(labels: np.ndarray, labelled: np.ndarray = LABELLED) -> ResidentData:
    """As `resident`, with labels beyond the four classes."""
    known = resident(labels, labelled)
    known.unlabelled = ROWS
    return known


def without_classes(others: np.ndarray) -> np.ndarray:
    """The labels of the images that keep theirs, and of `others` (40,) of all the rest."""
    labels = others.copy()
    labels[LABELLED] = LABELS[LABELLED]
    return labels


def test_an_image_without_a_class_teaches_its_concept_as_one_with_a_class_does():
    concepts = without_classes(LABELS // 2 + 4)  # classes a and b are in x, c and d in y
    teachers = [
        ConceptTeacherTask(network(2), data, HIERARCHY, TRAINING, "fp32").loss(0, INDICES).item()
        for data in (resident(LABELS), partly(concepts))
    ]
    assert teachers[0] == teachers[1]
    weights = {"ce": 1.0, "concept_labels": 0.5}
    assert student_loss(resident(LABELS), **weights) == student_loss(partly(concepts), **weights)


def test_an_image_of_which_no_axis_speaks_teaches_nothing():
    data = partly(np.where(np.arange(40) % 10 == 0, LABELS, 6))
    logits = network(2)(data.view_batch(0, INDICES))
    spoken = INDICES % 10 == 0
    expected = F.cross_entropy(logits[spoken], torch.from_numpy(LABELS // 2)[INDICES[spoken]]).item()
    task = ConceptTeacherTask(network(2), data, HIERARCHY, TRAINING, "fp32")
    assert task.loss(0, INDICES).item() == pytest.approx(expected, abs=1e-6)
    silent = ConceptTeacherTask(network(2), partly(np.full(40, 6)), HIERARCHY, TRAINING, "fp32").loss(0, INDICES)
    assert silent.item() == 0


def test_labels_beyond_the_classes_never_reach_the_cross_entropy():
    data = partly(without_classes(np.full(40, 5)))
    assert student_loss(data) == student_loss(resident(LABELS))
    first, second = (TaskTeacherTask(network(), each, TRAINING, "fp32") for each in (data, resident(LABELS)))
    assert first.loss(0, INDICES).item() == second.loss(0, INDICES).item()


def test_a_concept_that_its_axis_lacks_is_no_silence():
    with pytest.raises(ValueError, match="not in tuple"):
        AxisTables.of(HIERARCHY, torch.device("cpu"), [{"kind": "z"}])


def test_rare_labels_count_where_labels_are_hidden():
    """Of the images that keep theirs two are of class a, and one of each other."""
    split = Split(np.arange(40), np.arange(40), LABELLED)
    images = ImageSet(np.zeros((40, 8, 8, 1), np.uint8), LABELS)
    drawn = Dataset("drawn", tuple("abcd"), images, images, "", "")
    weights = ResidentData(drawn, split, Augment(), 0, torch.device("cpu"), balance="weights").class_weights
    assert weights is not None
    assert weights.tolist() == [0.625, 1.25, 1.25, 1.25]


def student_with_a_task_teacher(data: ResidentData, answers: torch.Tensor, **weights: float) -> float:
    settings = Distill(training=TRAINING, weights=Weights(ce=0.0, **weights), views=1)
    teacher = TeacherAnswers(answers[None], torch.zeros(1, 40, 1))
    return DistillTask(network(), data, HIERARCHY, settings, Teachers(None, teacher), "fp32").loss(0, INDICES).item()


def test_the_target_of_decoupled_kd_is_the_label_or_else_what_the_teacher_answers():
    answers = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    data = resident(LABELS)
    batch, labelled = budgeted_batch(INDICES, data.labelled, 0.5)
    targets = answers[batch].argmax(dim=1)
    targets[:labelled] = torch.from_numpy(LABELS)[batch[:labelled]]
    logits = network()(data.view_batch(0, batch))
    expected = dkd_loss(logits, answers[batch], targets, 4.0, 1.0, 8.0).item()
    assert student_with_a_task_teacher(data, answers, dkd=1.0) == pytest.approx(expected)
    assert student_with_a_task_teacher(resident(lied(LABELLED)), answers, dkd=1.0) == pytest.approx(expected)


def test_layers_of_the_training_alone_begin_with_the_same_weights_whatever_came_before():
    answers = TeacherAnswers(torch.zeros(1, 40, 2), torch.randn(1, 40, 6))
    settings = Distill(training=TRAINING, weights=Weights(embedding=1.0), views=1)
    arguments = (network(), resident(LABELS), HIERARCHY, settings, Teachers(answers, None), "fp32")
    first, second, other = (DistillTask(*arguments, seed=seed).module["projector"].weight for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
