from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from hkd_edge.errors import TrainingError
from hkd_edge.teachers.probe import Labels, columns_of, fit_linear_head


def drawn(count: int = 400, size: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (count,), generator=generator)
    centres = torch.randn(3, size, generator=generator)
    scale = torch.linspace(0.1, 20, size)
    return (centres[labels] + torch.randn(count, size, generator=generator)) * scale + 5, labels


def test_the_head_is_scikit_learn_s_logistic_regression_on_standardised_embeddings():
    embeddings, labels = drawn()
    head, loss = fit_linear_head(embeddings, Labels(labels[:, None], columns_of([3])), 0.01)
    standard = ((embeddings - embeddings.mean(0)) / embeddings.std(0, correction=0)).double().numpy()
    theirs = LogisticRegression(C=1 / (0.01 * len(labels)), max_iter=1000, tol=1e-8).fit(standard, labels.numpy())
    ours = head(embeddings).double().softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(standard), atol=2e-3)
    expected = -np.log(theirs.predict_proba(standard)[np.arange(len(labels)), labels]).mean()
    assert loss == pytest.approx(expected, abs=1e-3)


def test_axes_are_fitted_each_on_the_images_on_which_it_speaks():
    embeddings, labels = drawn()
    silent = torch.where(labels == 2, -1, labels)
    both, _ = fit_linear_head(embeddings, Labels(torch.stack([labels, silent], 1), columns_of([3, 2])), 0.02)
    # The mean over two axes halves each axis' loss, which doubles the decay; scikit-learn has one vector w for two
    # classes where the head has w / 2 and -w / 2, whose squares are half of its square. So both decays are the same.
    statistics_of_all = embeddings.mean(0), embeddings.std(0, correction=0)
    spoken = ((embeddings - statistics_of_all[0]) / statistics_of_all[1])[silent >= 0].double().numpy()
    theirs = LogisticRegression(C=1 / (0.02 * len(spoken)), max_iter=1000, tol=1e-8)
    theirs.fit(spoken, silent[silent >= 0].numpy())
    ours = both(embeddings)[silent >= 0][:, 3:].double().softmax(1).numpy()
    np.testing.assert_allclose(ours[:, 1], theirs.predict_proba(spoken)[:, 1], atol=0.02)


def test_half_precision_and_a_dimension_that_never_changes_do_no_harm():
    embeddings, labels = drawn()
    constant = torch.cat([embeddings, torch.full((len(embeddings), 1), 7.0)], 1).half()
    head, loss = fit_linear_head(constant, Labels(labels[:, None], columns_of([3])), 0.01)
    assert math.isfinite(loss)
    right = (head(constant.float()).argmax(1) == labels).float().mean()
    assert right > 0.85


def test_an_axis_without_labelled_images_is_refused():
    embeddings, labels = drawn()
    with pytest.raises(TrainingError, match="expected labelled images on every axis"):
        fit_linear_head(embeddings, Labels(torch.full_like(labels, -1)[:, None], columns_of([3])), 0.01)
