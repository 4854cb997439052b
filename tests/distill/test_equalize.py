from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from hkd_edge.distill.equalize import channel_sets, equalize
from hkd_edge.models.build import build
from hkd_edge.models.network import GlobalAveragePool, Network
from hkd_edge.models.staged import ConvBN, MobileBlock
from tests.export.hard_case import PLAIN, RESIDUAL, rescale_channels

IMAGES = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def used(network: Network) -> Network:
    """`network` with batch norms that have seen images."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
    network.train()(IMAGES)
    return network.eval()


def network_of(*layers: nn.Module, width: int = 4) -> Network:
    torch.manual_seed(0)
    return used(Network(nn.Sequential(*layers, GlobalAveragePool()), nn.Linear(width, 3)))


def logits(network: Network) -> torch.Tensor:
    with torch.no_grad():
        return network.eval()(IMAGES)


@pytest.fixture(params=[PLAIN, RESIDUAL], ids=["plain", "residual"])
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return used(build(request.param, 1, 10))


def test_the_answers_stay_the_same(network: Network) -> None:
    assert torch.allclose(logits(equalize(network)), logits(network), atol=1e-5)


def test_the_network_that_came_in_stays_as_it_was(network: Network) -> None:
    before = copy.deepcopy(network.state_dict())
    equalize(network)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_channel_is_written_and_read_by_weights_of_one_size(network: Network) -> None:
    for channels in channel_sets(equalize(network)):
        assert torch.allclose(channels.equalizing_factors(), torch.tensor(1.0), atol=1e-3)


def test_rescaling_is_undone(network: Network) -> None:
    equal, again = equalize(network), equalize(rescale_channels(network, 5, 0))
    for name, tensor in equal.state_dict().items():
        assert torch.allclose(again.state_dict()[name].float(), tensor.float(), rtol=1e-3, atol=1e-5), name


def test_shortcuts_tie_all_that_writes_and_reads_their_channels() -> None:
    sets = channel_sets(build(RESIDUAL, 1, 10))
    # stem; shrink + block -> block, shrink; inside the block; last shrink -> head
    assert [(len(each.writers), len(each.readers)) for each in sets] == [(1, 1), (2, 2), (1, 1), (1, 1)]


def test_tied_channels_are_evened_out_too() -> None:
    torch.manual_seed(0)
    network = used(build(RESIDUAL, 1, 10))
    uneven = copy.deepcopy(network)
    with torch.no_grad():
        channel_sets(uneven)[1].rescale(torch.exp2(torch.arange(16.0) - 8))
    assert torch.allclose(logits(uneven), logits(network), atol=1e-5)
    assert torch.allclose(channel_sets(equalize(uneven))[1].equalizing_factors(), torch.tensor(1.0), atol=1e-3)


def test_depthwise_convolutions_read_and_write_channels() -> None:
    network = network_of(ConvBN(1, 4), MobileBlock(4, 4, 1, 2), MobileBlock(4, 6, 2, 1), width=6)
    assert all(len(each.writers) and len(each.readers) for each in channel_sets(network))
    assert len(channel_sets(network)) == 5
    assert torch.allclose(logits(equalize(network)), logits(network), atol=1e-5)


def test_a_channel_without_weights_does_no_harm() -> None:
    network = network_of(ConvBN(1, 4), ConvBN(4, 4))
    with torch.no_grad():
        network.backbone[0][0].weight[1] = 0
        network.backbone[1][0].weight[:, 2] = 0
    assert torch.isfinite(logits(equalize(network))).all()
    assert torch.allclose(logits(equalize(network)), logits(network), atol=1e-5)


def test_convolutions_without_batch_norm_are_rescaled_with_their_bias() -> None:
    network = network_of(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.ReLU())
    assert len(channel_sets(network)) == 2
    assert torch.allclose(logits(equalize(network)), logits(network), atol=1e-5)


class ChannelMean(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(1, keepdim=True)


SHARED = ConvBN(4, 4)


@pytest.mark.parametrize(
    "between",
    [
        nn.Hardswish(),
        nn.ReLU6(),
        ChannelMean(),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.BatchNorm2d(4),
        nn.Sequential(SHARED, SHARED),
    ],
    ids=["hard-swish", "relu6", "mean over channels", "groups", "a batch norm of its own", "a layer used twice"],
)
def test_what_is_not_homogeneous_is_left_alone(between: nn.Module) -> None:
    network = network_of(ConvBN(1, 4), between, nn.Conv2d(4, 4, 1), nn.ReLU())
    assert all(each.writers[0].convolution is not network.backbone[0][0] for each in channel_sets(network))
    assert torch.allclose(logits(equalize(network)), logits(network), atol=1e-5)
