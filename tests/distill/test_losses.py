"""The losses against hand-computed cases, their identities, and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hkd_edge.distill.losses import (
    concept_label_loss,
    concept_log_probabilities,
    concept_loss,
    dkd_loss,
    embedding_loss,
    kd_loss,
    relational_loss,
    subclass_loss,
)

TARGETS = torch.tensor([0, 3, 3, 1])
TOPS_FOOTWEAR = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 0]])  # the last class is silent


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_kd_agrees_with_a_sum_written_out_by_hand() -> None:
    student, teacher, temperature = normal(5, 4), normal(5, 4, seed=1), 3.0
    p, q = torch.softmax(teacher / temperature, 1), torch.softmax(student / temperature, 1)
    expected = temperature**2 * (p * (p.log() - q.log())).sum(1).mean()
    assert torch.allclose(kd_loss(student, teacher, temperature), expected)


def test_kd_of_a_perfect_student_is_zero() -> None:
    logits = normal(5, 4)
    assert kd_loss(logits + 7, logits, 4.0).abs() < 1e-12


@pytest.mark.parametrize("divide_prior", [False, True])
@given(seed=st.integers(0, 999), temperature=st.floats(0.5, 10))
def test_concept_loss_with_identity_membership_equals_kd(seed: int, temperature: float, divide_prior: bool) -> None:
    student, teacher = normal(6, 5, seed=seed), normal(6, 5, seed=seed + 1000)
    ours = concept_loss(student, [teacher], [torch.eye(5, dtype=torch.float64)], temperature, divide_prior=divide_prior)
    assert torch.allclose(ours, kd_loss(student, teacher, temperature))


def test_concept_loss_with_one_concept_of_all_classes_is_zero() -> None:
    loss = concept_loss(normal(6, 5), [normal(6, 1)], [torch.ones(5, 1, dtype=torch.float64)], 2.0)
    assert loss.abs() < 1e-12


@given(seed=st.integers(0, 999))
def test_permuting_classes_and_rows_of_the_membership_together_changes_nothing(seed: int) -> None:
    student, teacher = normal(6, 4, seed=seed), normal(6, 2, seed=seed + 1)
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    membership = TOPS_FOOTWEAR.double()
    plain = concept_loss(student, [teacher], [membership], 3.0)
    permuted = concept_loss(student[:, order], [teacher], [membership[order]], 3.0)
    assert torch.allclose(plain, permuted)


def test_concept_probabilities_are_class_probabilities_renormalised_over_spoken_classes() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    probabilities = concept_log_probabilities(logits, TOPS_FOOTWEAR, 1.0).exp()
    assert torch.allclose(probabilities, torch.tensor([[0.4 / 0.6, 0.2 / 0.6]]))


def test_a_dividing_prior_makes_an_ignorant_student_even_over_concepts() -> None:
    ignorant = torch.zeros(1, 4)
    assert torch.allclose(concept_log_probabilities(ignorant, TOPS_FOOTWEAR, 1.0).exp(), torch.tensor([[2 / 3, 1 / 3]]))
    even = concept_log_probabilities(ignorant, TOPS_FOOTWEAR, 1.0, divide_prior=True).exp()
    assert torch.allclose(even, torch.tensor([[0.5, 0.5]]))


def test_concept_loss_is_finite_for_logits_where_a_naive_log_of_sum_of_exp_is_not() -> None:
    student = torch.tensor([[500.0, -500.0, 0.0, 0.0]], requires_grad=True)
    loss = concept_loss(student, [torch.tensor([[-300.0, 300.0]])], [TOPS_FOOTWEAR], 1.0)
    loss.backward()
    assert math.isfinite(loss.item())
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_the_silent_class_gets_no_gradient_from_its_axis() -> None:
    student = normal(3, 4).requires_grad_()
    concept_loss(student, [normal(3, 2, seed=1)], [TOPS_FOOTWEAR.double()], 2.0).backward()
    assert student.grad is not None
    assert torch.equal(student.grad[:, 3], torch.zeros(3, dtype=torch.float64))


def test_axes_are_averaged() -> None:
    student, first, second = normal(3, 4), normal(3, 2, seed=1), normal(3, 4, seed=2)
    one = concept_loss(student, [first], [TOPS_FOOTWEAR.double()], 2.0)
    other = concept_loss(student, [second], [torch.eye(4, dtype=torch.float64)], 2.0)
    both = concept_loss(student, [first, second], [TOPS_FOOTWEAR.double(), torch.eye(4, dtype=torch.float64)], 2.0)
    assert torch.allclose(both, (one + other) / 2)


@pytest.mark.parametrize("divide_prior", [False, True])
def test_gradients_of_every_loss_agree_with_finite_differences(divide_prior: bool) -> None:
    student, teacher = normal(4, 4).requires_grad_(), normal(4, 4, seed=1)
    concepts = normal(4, 2, seed=2)
    membership = TOPS_FOOTWEAR.double()
    losses = [
        lambda z: kd_loss(z, teacher, 3.0),
        lambda z: dkd_loss(z, teacher, TARGETS, 3.0, 1.0, 8.0),
        lambda z: subclass_loss([z], [teacher.softmax(1)]),
        lambda z: concept_loss(z, [concepts], [membership], 3.0, divide_prior=divide_prior),
        lambda z: embedding_loss(z, teacher),
        lambda z: relational_loss(z, concepts),
        lambda z: concept_label_loss([z], torch.tensor([[0], [3], [-1], [1]])),
    ]
    for loss in losses:
        assert torch.autograd.gradcheck(loss, (student,))


def test_embedding_loss_sees_directions_alone() -> None:
    teacher = normal(4, 8)
    assert embedding_loss(3 * teacher, teacher).abs() < 1e-12
    assert torch.allclose(embedding_loss(-teacher, teacher), torch.tensor(2.0, dtype=torch.float64))


def test_relational_loss_ignores_rotations_and_scale_of_the_embedding() -> None:
    teacher = normal(6, 3)
    rotation, _ = torch.linalg.qr(normal(3, 3, seed=1))
    assert relational_loss(2 * teacher @ rotation, teacher).abs() < 1e-12


def test_concept_label_loss_leaves_silent_images_out() -> None:
    logits, labels = normal(3, 2), torch.tensor([[0], [-1], [1]])
    expected = F.cross_entropy(logits[[0, 2]], torch.tensor([0, 1]))
    assert torch.allclose(concept_label_loss([logits], labels), expected)


def test_concept_label_loss_of_an_axis_silent_on_the_whole_batch_is_zero() -> None:
    assert concept_label_loss([normal(3, 2)], torch.full((3, 1), -1)) == 0


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kd_is_torchdistills(temperature: float) -> None:
    library = pytest.importorskip("torchdistill.losses.mid_level", reason="the extra `bench` (torchdistill) is missing")
    student, teacher = normal(16, 10), normal(16, 10, seed=1)
    targets = torch.arange(16) % 10
    # With alpha 0 it leaves T^2 out; so half of the cross-entropy is asked for, and taken off again.
    theirs = library.KDLoss("s", "output", "t", "output", temperature=temperature, alpha=0.5, beta=1.0)
    expected = theirs({"s": {"output": student}}, {"t": {"output": teacher}}, targets)
    expected = expected - 0.5 * F.cross_entropy(student, targets)
    assert torch.allclose(kd_loss(student, teacher, temperature), expected)


def dkd_of_the_paper(student: Tensor, teacher: Tensor, targets: Tensor, alpha: float, beta: float) -> float:
    """Equations 1, 2, 5 and 7 of arXiv 2203.08679 for temperature 1, image by image and class by class."""
    losses = []
    for z, t, target in zip(student, teacher, targets.tolist(), strict=True):
        q, p = (torch.softmax(each, 0).tolist() for each in (z, t))
        others = [place for place in range(len(p)) if place != target]
        rest_p, rest_q = sum(p[i] for i in others), sum(q[i] for i in others)
        tckd = p[target] * math.log(p[target] / q[target]) + rest_p * math.log(rest_p / rest_q)
        nckd = sum(p[i] / rest_p * math.log(p[i] / rest_p / (q[i] / rest_q)) for i in others)
        losses.append(alpha * tckd + beta * nckd)
    return sum(losses) / len(losses)


@given(seed=st.integers(0, 999))
def test_dkd_is_that_of_the_paper_written_out(seed: int) -> None:
    student, teacher = normal(4, 5, seed=seed), normal(4, 5, seed=seed + 1000)
    expected = dkd_of_the_paper(student, teacher, TARGETS, 1.0, 8.0)
    assert dkd_loss(student, teacher, TARGETS, 1.0, 1.0, 8.0).item() == pytest.approx(expected)
    assert dkd_loss(3 * student, 3 * teacher, TARGETS, 3.0, 1.0, 8.0).item() == pytest.approx(9 * expected)


def test_dkd_with_the_teachers_doubt_as_beta_is_kd() -> None:
    """Equation 6: kd is dkd whose beta is what the teacher leaves to the other classes, image by image."""
    student, teacher = normal(4, 5), normal(4, 5, seed=1)
    doubt = 1 - torch.softmax(teacher / 3.0, 1)[range(4), TARGETS]
    parts = [dkd_loss(student[[i]], teacher[[i]], TARGETS[[i]], 3.0, 1.0, float(doubt[i])) for i in range(len(student))]
    assert torch.allclose(torch.stack(parts).mean(), kd_loss(student, teacher, 3.0))


def test_dkd_stays_finite_for_a_student_that_is_sure_and_wrong() -> None:
    student = torch.tensor([[500.0, -500.0, 0.0]], requires_grad=True)
    loss = dkd_loss(student, torch.tensor([[-300.0, 300.0, 0.0]]), torch.tensor([1]), 1.0, 1.0, 8.0)
    loss.backward()
    assert math.isfinite(loss.item())
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_subclass_loss_of_a_head_that_knows_is_zero() -> None:
    logits = [normal(4, 6), normal(4, 4, seed=1)]
    assert subclass_loss(logits, [each.softmax(1) for each in logits]).abs() < 1e-12
    assert subclass_loss(logits, [each.softmax(1).flip(1) for each in logits]) > 0.01
