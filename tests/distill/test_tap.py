"""The losses on embeddings take hold of the student where the recipe says, and leave it as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from hkd_edge.distill.cache import TeacherAnswers
from hkd_edge.distill.label_budget import budgeted_batch
from hkd_edge.distill.losses import embedding_loss
from hkd_edge.distill.student import DistillTask, Teachers
from hkd_edge.distill.tap import answer_and_tap, tapped_size
from hkd_edge.errors import TrainingError
from hkd_edge.models.build import build
from hkd_edge.models.network import Network
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.recipe.schema import Distill, Embedding, Training, Weights
from tests.distill.test_label_budget import HIERARCHY, INDICES, LABELS, resident

SETTINGS = Training(epochs=1, batch_size=8)


def student() -> Network:
    torch.manual_seed(0)
    return build(Architecture(stem_width=4, widths=[6, 8], blocks=[0, 0]), 1, 4)


def images() -> Tensor:
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_without_a_name_it_is_the_embedding() -> None:
    network = student().eval()
    logits, embedding = answer_and_tap(network, images(), None)
    assert torch.equal(embedding, network.embed(images()))
    assert torch.equal(logits, network(images()))


def test_maps_of_a_named_module_are_averaged() -> None:
    network = student().eval()
    logits, tapped = answer_and_tap(network, images(), "backbone.1")
    maps = network.backbone[1](network.backbone[0](images()))  # type: ignore[index]
    assert torch.allclose(tapped, maps.mean((2, 3)))
    assert torch.equal(logits, network(images()))
    assert tapped_size(network, "backbone.1", images()) == maps.shape[1] == 6


def test_looking_changes_nothing() -> None:
    network = student().train()
    before = copy.deepcopy(network.state_dict())
    tapped_size(network, "backbone.1", images())
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["backbone.9", "", "bakbone"])
def test_a_module_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(
        TrainingError, match=r"expected the name of a module .* in their order: backbone\.0, backbone\.1"
    ):
        answer_and_tap(student(), images(), name)


def task(weights: Weights, embedding: Embedding) -> DistillTask:
    generator = torch.Generator().manual_seed(2)
    answers = TeacherAnswers(torch.zeros(1, 40, 2), torch.randn(1, 40, 5, generator=generator))
    settings = Distill(training=SETTINGS, weights=weights, views=1, embedding=embedding)
    return DistillTask(student(), resident(LABELS), HIERARCHY, settings, Teachers(answers, None), "fp32")


@pytest.mark.parametrize("projector", ["linear", "mlp"])
@pytest.mark.parametrize(("layer", "size"), [(None, 8), ("backbone.1", 6)])
def test_the_loss_is_that_of_what_was_tapped(layer: str | None, size: int, projector: str) -> None:
    trained = task(Weights(ce=0.0, embedding=1.0), Embedding(layer=layer, projector=projector))
    network, mapped = trained.module["student"], trained.module["projector"]  # type: ignore[index]
    assert next(mapped.parameters()).shape == (5, size)
    loss = trained.loss(0, INDICES)
    data = resident(LABELS)
    batch, _ = budgeted_batch(INDICES, data.labelled, 0.5)
    tapped = answer_and_tap(network, data.view_batch(0, batch), layer)[1]
    teacher = torch.randn(1, 40, 5, generator=torch.Generator().manual_seed(2))[0, batch]
    assert loss.item() == pytest.approx(embedding_loss(mapped(tapped), teacher).item(), rel=1e-4)
    loss.backward()
    reached = {name for name, value in network.named_parameters() if value.grad is not None and value.grad.any()}
    assert any(name.startswith("backbone.0") for name in reached)
    assert any(name.startswith("backbone.2") for name in reached) == (layer is None)
    assert all(value.grad is not None for value in mapped.parameters())
