"""The losses of distillation as pure functions of tensors; each is a mean over the batch.

Shapes: N images, C classes, K_a concepts of axis a, D and E embedding sizes of student and teacher. Logits are raw.
`concept_loss` is this project's own formulation of distilling a teacher of concepts into a student of classes, after
the idea of Y. Yu and N. Kim (IEEE Access 12, 2024, doi 10.1109/ACCESS.2024.3387459), of which only the abstract was
read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)), both logits (N, C).

    Source: G. Hinton, O. Vinyals, J. Dean, arXiv 1503.02531, section 2.
    """
    return _tempered_kl(F.log_softmax(student_logits / temperature, dim=1), teacher_logits, temperature)


def dkd_loss(
    student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, temperature: float, alpha: float, beta: float
) -> Tensor:
    """T^2 * (alpha * KL(b_t || b_s) + beta * KL(p_t || p_s)), both logits (N, C), `targets` int64 (N,).

    b is the pair (probability of the target, probability of all others), p the probabilities of the others among
    themselves, all at temperature T. With alpha 1 and beta the teacher's probability of the others it is `kd_loss`.

    Source: B. Zhao et al., arXiv 2203.08679, equation 7, with the factor T^2 of their code.
    """
    students, teachers = (_decoupled(logits / temperature, targets) for logits in (student_logits, teacher_logits))
    target, others = (
        F.kl_div(student, teacher, reduction="batchmean", log_target=True)
        for student, teacher in zip(students, teachers, strict=True)
    )
    return temperature**2 * (alpha * target + beta * others)


def concept_log_probabilities(
    student_logits: Tensor, membership: Tensor, temperature: float, *, divide_prior: bool = False
) -> Tensor:
    """log q_a (N, K_a): the student's class probabilities summed over each concept of one axis, renormalised.

    `membership` (C, K_a) is 0/1; rows of zeros are classes on which the axis is silent, and they are left out.
    With `divide_prior` each concept's mass is divided by its number of classes first, so that a student that knows
    nothing gives every concept, and not every class, the same probability.
    """
    log_mask = torch.log(membership.to(student_logits.dtype))  # 0 -> -inf: the class does not count
    masses = torch.logsumexp(student_logits[:, :, None] / temperature + log_mask, dim=1)
    if divide_prior:
        masses = masses - torch.log(membership.sum(dim=0).to(masses.dtype))
    return F.log_softmax(masses, dim=1)


def concept_loss(
    student_logits: Tensor,
    teacher_logits: Sequence[Tensor],
    memberships: Sequence[Tensor],
    temperature: float,
    *,
    divide_prior: bool = False,
) -> Tensor:
    """Marginal matching: T^2 * KL(softmax(t_a / T) || q_a), the mean over the axes.

    `student_logits` (N, C); per axis a `teacher_logits[a]` (N, K_a) and `memberships[a]` (C, K_a). With one axis whose
    membership is the identity this is `kd_loss`; with one concept that holds every class it is 0.
    """
    losses = [
        _tempered_kl(
            concept_log_probabilities(student_logits, membership, temperature, divide_prior=divide_prior),
            logits,
            temperature,
        )
        for logits, membership in zip(teacher_logits, memberships, strict=True)
    ]
    return torch.stack(losses).mean()


def embedding_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    """1 - cos(student, teacher) of embeddings (N, E); the student's are projected to E by the caller."""
    return 1 - F.cosine_similarity(student_embedding, teacher_embedding, dim=1).mean()


def relational_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    """Mean squared difference between the two batches' matrices of cosine similarities; (N, D) and (N, E).

    Needs no projector. Source: F. Tung, G. Mori, arXiv 1907.09682, equation 4, with cosine similarities of the rows
    in place of row-normalised inner products, so that the value does not depend on the batch size.
    """
    return F.mse_loss(_similarities(student_embedding), _similarities(teacher_embedding))


def subclass_loss(student_logits: Sequence[Tensor], assignments: Sequence[Tensor]) -> Tensor:
    """KL(assignment || softmax(student)), the mean over the axes; per axis logits and probabilities (N, K_a * S).

    S is the number of subclasses in each concept. Source: R. Müller et al., arXiv 2002.03936, section 2; the departure
    is in where the assignments come from, see `Subclasses.assignments`.
    """
    losses = [
        F.kl_div(F.log_softmax(logits, dim=1), assigned, reduction="batchmean")
        for logits, assigned in zip(student_logits, assignments, strict=True)
    ]
    return torch.stack(losses).mean()


def concept_label_loss(logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Cross-entropy of a concept teacher: logits per axis (N, K_a), labels (N, axes) with -1 where an axis is silent.

    Each axis is averaged over the images on which it speaks, then the axes are averaged; an axis that is silent on
    the whole batch counts as 0.
    """
    losses = []
    for axis, axis_logits in enumerate(logits):
        total = F.cross_entropy(axis_logits, labels[:, axis], ignore_index=-1, reduction="sum")
        losses.append(total / (labels[:, axis] >= 0).sum().clamp(min=1))
    return torch.stack(losses).mean()


def _tempered_kl(log_student: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    log_teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


def _decoupled(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of (target, not target) (N, 2), and of the other classes among themselves (N, C - 1)."""
    places = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = logits.gather(1, places + (places >= targets[:, None]))  # the target's column left out
    pair = torch.cat([logits.gather(1, targets[:, None]), others.logsumexp(dim=1, keepdim=True)], dim=1)
    return F.log_softmax(pair, dim=1), F.log_softmax(others, dim=1)


def _similarities(embedding: Tensor) -> Tensor:
    rows = F.normalize(embedding, dim=1)
    return rows @ rows.T
