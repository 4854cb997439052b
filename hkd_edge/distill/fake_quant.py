"""Training a student as it will compute in INT8: weights and activations are rounded in the forward pass.

Sources: B. Jacob et al., arXiv 1712.05877, section 3 (simulated quantization); Y. Bengio et al., arXiv 1308.3432
(the straight-through estimator: rounding has the gradient of the identity). Two departures: batch norms are folded
before this training, not in every step of it, because a trained network's statistics are known; and the grids are
those that `hkd_edge_export.quantize` will choose for the exported network, at the same places.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hkd_edge.distill.equalize import equalize
from hkd_edge.models.network import Network

# NNCF's half range is 127 steps from the smallest to the largest weight: the largest lies between 63 and 64.
_WEIGHT_STEPS = 63.5
_RANGE_MOMENTUM = 0.01  # share of a batch in the moving average of a range (Jacob et al., section 3.1: "close to 1")
_TINY = 1e-12  # keeps the step of a channel of zeros above 0

# Whose inputs are quantized, and what a quantizer may stand before as well as behind.
_QUANTIZED_MODULES = (nn.Conv2d, nn.Linear, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_QUANTIZED_CALLS = (operator.add, operator.iadd, torch.add, torch.mean, nn.functional.adaptive_avg_pool2d, "mean")
_INDIFFERENT_MODULES = (nn.MaxPool2d, nn.Flatten, nn.Dropout, nn.Identity)
_INDIFFERENT_CALLS = (torch.flatten, nn.functional.max_pool2d, "flatten")


def insert_fake_quant(network: Network, batches: Iterable[Tensor]) -> Network:
    """A copy of a trained network that rounds as its INT8 file will; `network` stays as it is.

    Its channels are equalized first: no single learning rate suits channels of very different size.
    `batches` of normalised training images (N, C, H, W), about 300 images together, set the first ranges of the
    activations; a moving average follows them during training. The embedding that it answers is rounded too.

    Train it in fp32, because the 8 significant bits of bf16 are no finer than the grid, and at a far smaller learning
    rate than before: a student of 95 k parameters, trained on Fashion-MNIST at 0.3, kept 92.8 % of 6,000 validation
    images at 0.001, and fell to 10 % at 0.01, when its teacher alone guided it (SGD, momentum 0.9, one run each).

    Raises:
        ValueError: if there is no batch.
    """
    quantized = equalize(network)
    device = quantized.head.weight.device
    backbone = fx.symbolic_trace(quantized.backbone)
    _fold_batch_norms(backbone)
    _insert_roundings(backbone)
    quantized.backbone = backbone
    for layer in _weighted(quantized).values():
        parametrize.register_parametrization(layer, "weight", _Grid())
    quantized.to(device)
    _set_ranges(quantized, batches)
    return quantized.eval()


def remove_fake_quant(quantized: Network, network: Network) -> Network:
    """A copy of `network`, from which `quantized` was made, with the weights that `quantized` learnt, on their grid.

    Batch norms behind convolutions hold the biases and change nothing else: the copy is made to be saved and
    exported, not to be trained on. Quantizing the exported file finds the same integers for all weights but the
    largest of a channel, which lies between two.
    """
    plain = copy.deepcopy(network).eval()
    norms = dict(_norms_behind_convolutions(fx.symbolic_trace(plain.backbone)))
    learnt = _weighted(quantized)
    with torch.no_grad():
        for name, layer in _weighted(plain).items():
            layer.weight.copy_(learnt[name].weight)
            bias = learnt[name].bias
            if name.removeprefix("backbone.") in norms:
                norm = plain.backbone.get_submodule(norms[name.removeprefix("backbone.")])
                _neutralise(cast(nn.BatchNorm2d, norm), cast(Tensor, bias))
                bias = None
            if layer.bias is not None:
                layer.bias.copy_(torch.zeros_like(layer.bias) if bias is None else bias)
    return plain


class _Rounding(nn.Module):
    """Rounds activations to 8 bits, per tensor, with a zero point of 0; unsigned unless they were seen negative."""

    limit: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.measures = False
        self.signed = False
        self.register_buffer("limit", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, float32; gradients pass where x is within the range."""
        x = x.float()
        if self.measures or self.training:
            largest = x.detach().abs().amax()
        if self.measures:
            self.signed |= bool((x < 0).any())
            self.limit.copy_(torch.maximum(self.limit, largest))
            return x
        if self.training:
            self.limit.lerp_(largest, _RANGE_MOMENTUM)
        steps, lowest, highest = (127, -128, 127) if self.signed else (255, 0, 255)
        zero = torch.zeros((), dtype=torch.int32, device=x.device)
        step = (self.limit / steps).clamp(min=_TINY)
        return torch.fake_quantize_per_tensor_affine(x, step, zero, lowest, highest)


class _Grid(nn.Module):
    """Rounds weights (outputs, ...) to the half range of int8, symmetric, with a step for each output channel."""

    def forward(self, weight: Tensor) -> Tensor:
        """The same shape; the gradient is that of the identity."""
        values = weight.detach()
        largest = values.abs().amax(dim=tuple(range(1, values.ndim)), keepdim=True).clamp(min=_TINY)
        step = largest / _WEIGHT_STEPS
        # Unless the largest weight stays what it is, quantization would find another step.
        rounded = (torch.round(values / step) * step).clamp(-largest, largest)
        rounded = torch.where(values.abs() < largest, rounded, values)
        return weight + (rounded - weight).detach()


def _weighted(network: Network) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}


def _is(node: fx.Node, modules: tuple[type[nn.Module], ...], calls: tuple[object, ...] = ()) -> bool:
    """Whether a node of a traced network calls one of `modules` or `calls`."""
    if node.op == "call_module":
        return isinstance(_module_of(node), modules)
    return node.op in ("call_function", "call_method") and node.target in calls


def _module_of(node: fx.Node) -> nn.Module:
    return cast(nn.Module, node.graph.owning_module).get_submodule(str(node.target))


def _norms_behind_convolutions(traced: fx.GraphModule) -> Iterator[tuple[str, str]]:
    """The names of each convolution and of the batch norm that alone reads it."""
    for norm in list(traced.graph.nodes):
        if _is(norm, (nn.BatchNorm2d,)) and _is(norm.args[0], (nn.Conv2d,)) and len(norm.args[0].users) == 1:
            yield str(norm.args[0].target), str(norm.target)


def _fold_batch_norms(traced: fx.GraphModule) -> None:
    for convolution, norm in list(_norms_behind_convolutions(traced)):
        conv = cast(nn.Conv2d, traced.get_submodule(convolution))
        traced.set_submodule(convolution, fuse_conv_bn_eval(conv, cast(nn.BatchNorm2d, traced.get_submodule(norm))))
        traced.set_submodule(norm, nn.Identity())


def _neutralise(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """Makes a batch norm add `bias` and nothing else."""
    cast(Tensor, norm.running_mean).zero_()
    cast(Tensor, norm.running_var).fill_(1)
    norm.weight.fill_((1 + norm.eps) ** 0.5)
    norm.bias.copy_(bias)


def _insert_roundings(traced: fx.GraphModule) -> None:
    """Puts a rounding behind whatever a layer, an addition, a mean or the head reads, as NNCF puts its quantizers."""
    read = [
        source
        for node in traced.graph.nodes
        if node.op == "output" or _is(node, _QUANTIZED_MODULES, _QUANTIZED_CALLS)
        for source in node.all_input_nodes
    ]
    for number, source in enumerate(dict.fromkeys(map(_origin, read))):
        traced.add_module(f"rounding_{number}", _Rounding())
        readers = list(source.users)
        with traced.graph.inserting_after(source):
            rounding = traced.graph.call_module(f"rounding_{number}", (source,))
        for reader in readers:
            reader.replace_input_with(source, rounding)
    traced.recompile()


def _origin(node: fx.Node) -> fx.Node:
    """Where the values of a node come from, before pooling of maxima and changes of shape."""
    while _is(node, _INDIFFERENT_MODULES, _INDIFFERENT_CALLS):
        node = node.all_input_nodes[0]
    return node


@torch.no_grad()
def _set_ranges(quantized: Network, batches: Iterable[Tensor]) -> None:
    roundings = [module for module in quantized.modules() if isinstance(module, _Rounding)]
    count = 0
    for rounding in roundings:
        rounding.measures = True
    for batch in batches:
        quantized(batch)
        count += 1
    for rounding in roundings:
        rounding.measures = False
    if count == 0:
        raise ValueError("batches: expected at least one batch of training images, got none.")
