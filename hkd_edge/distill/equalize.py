"""Evens out the channels of a network, so that one step size serves all of a layer; the answers stay the same.

Source: M. Nagel et al., arXiv 1906.04721, section 4.1 (cross-layer range equalization). ReLU is positively homogeneous:
what a layer's channels are multiplied by, the layers that read them can be divided by. A deliberate departure: where
shortcuts tie channels together, all layers that write them and all that read them are rescaled at once.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, fx, nn

from hkd_edge.models.network import Network

_ROUNDS = 20  # a layer reads one set of channels and writes another; the ratios settle within a few rounds
_ADDITIONS = (operator.add, operator.iadd, torch.add)
# What a positive factor passes through unchanged.
_HOMOGENEOUS_MODULES = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout, nn.Identity)
_HOMOGENEOUS_CALLS = (
    *(torch.relu, torch.flatten, "relu", "flatten"),
    *(nn.functional.relu, nn.functional.max_pool2d, nn.functional.adaptive_avg_pool2d),
)


@dataclass
class Writer:
    """A convolution, and the batch norm behind it if there is one."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d | None = None

    def largest(self) -> Tensor:
        """The largest weight (K,) of each of its K channels, with the batch norm folded in."""
        largest = self.convolution.weight.abs().flatten(1).amax(1)
        if self.norm is None:
            return largest
        return largest * self.norm.weight.abs() / (cast(Tensor, self.norm.running_var) + self.norm.eps).sqrt()

    def multiply(self, factors: Tensor) -> None:
        """Makes each channel `factors` (K,) times as large."""
        scaled = self.convolution if self.norm is None else self.norm
        for numbers in (scaled.weight, scaled.bias):
            if numbers is not None:
                numbers.mul_(factors.reshape(-1, *[1] * (numbers.ndim - 1)))


@dataclass
class ChannelSet:
    """K channels that can only be rescaled together: the layers that write them and the layers that read them."""

    writers: list[Writer] = field(default_factory=list)
    readers: list[nn.Conv2d | nn.Linear] = field(default_factory=list)
    free: bool = True  # whether these are all that write and read them

    @property
    def can_be_rescaled(self) -> bool:
        """Whether all that writes and reads them is known, and sees the same K channels."""
        # Not so for groups of several channels, or a linear layer behind a flatten of more than one pixel.
        sizes = {*(writer.convolution.out_channels for writer in self.writers), *map(len, map(_by_input, self.readers))}
        return self.free and bool(self.writers) and bool(self.readers) and len(sizes) == 1

    def rescale(self, factors: Tensor) -> None:
        """Makes each channel `factors` (K,) > 0 times as large where it is written, and undoes it where it is read."""
        for writer in self.writers:
            writer.multiply(factors)
        for reader in self.readers:
            weight = _by_input(reader)
            weight.div_(factors.reshape(-1, *[1] * (weight.ndim - 1)))

    def equalizing_factors(self) -> Tensor:
        """The factors (K,) after which a channel's largest weights are the same where it is written and read."""
        written = torch.stack([writer.largest() for writer in self.writers]).amax(0)
        read = torch.stack([_by_input(reader).abs().flatten(1).amax(1) for reader in self.readers]).amax(0)
        # A channel that is never written or never read has no size.
        return torch.where((written > 0) & (read > 0), (read / written).sqrt(), 1.0)


def equalize(network: Network) -> Network:
    """A copy with the same answers but for rounding, in which channels are written and read by weights of one size.

    Channels that pass through something else than ReLU, pooling and additions stay as they are. The state dict of the
    copy fits `network`.
    """
    equal = copy.deepcopy(network).eval()
    sets = channel_sets(equal)
    with torch.no_grad():
        for channels in sets * _ROUNDS:
            channels.rescale(channels.equalizing_factors())
    return equal


def channel_sets(network: Network) -> list[ChannelSet]:
    """The sets of channels that can be rescaled without a change of the logits, in the order of the layers."""
    sets: dict[fx.Node, ChannelSet] = {}
    nodes = list(fx.symbolic_trace(network).graph.nodes)
    calls = Counter(node.target for node in nodes)
    for node in nodes:
        layer = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        sources = [sets[source] for source in node.all_input_nodes]
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and calls[node.target] == 1:
            sources[0].readers.append(layer)
            sets[node] = ChannelSet([Writer(layer)]) if isinstance(layer, nn.Conv2d) else ChannelSet(free=False)
        elif isinstance(layer, nn.BatchNorm2d) and sources[0].writers and _is_alone_behind(node, network):
            sets[node] = sources[0]
            sources[0].writers[0].norm = layer
        elif node.target in _ADDITIONS and len(sources) == 2:
            sets[node] = _tied(sets, *sources)
        elif isinstance(layer, _HOMOGENEOUS_MODULES) or _is_homogeneous_call(node):
            sets[node] = sources[0]
        else:
            sets[node] = ChannelSet(free=False)
            for source in sources:
                source.free = False
    distinct = {id(channels): channels for channels in sets.values()}
    return [channels for channels in distinct.values() if channels.can_be_rescaled]


def _is_homogeneous_call(node: fx.Node) -> bool:
    if node.target in (torch.mean, "mean"):
        axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        return isinstance(axes, (tuple, list)) and {*axes} <= {2, 3, -1, -2}
    return node.target in _HOMOGENEOUS_CALLS


def _is_alone_behind(norm: fx.Node, network: Network) -> bool:
    """Whether a batch norm reads a convolution that nothing else reads."""
    source = norm.all_input_nodes[0]
    if source.op != "call_module" or len(source.users) > 1:
        return False
    return isinstance(network.get_submodule(str(source.target)), nn.Conv2d)


def _tied(sets: dict[fx.Node, ChannelSet], one: ChannelSet, other: ChannelSet) -> ChannelSet:
    """Makes two sets one, because an addition reads both."""
    if one is not other:
        one.writers += other.writers
        one.readers += other.readers
        one.free &= other.free
        sets.update({node: one for node, channels in sets.items() if channels is other})
    return one


def _by_input(layer: nn.Conv2d | nn.Linear) -> Tensor:
    """The weights with the input channels first: those of a depthwise convolution already are."""
    depthwise = isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
    return layer.weight if depthwise else layer.weight.transpose(0, 1)
