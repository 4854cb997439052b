"""torchvision's classification networks by name, with our head and our number of input channels."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from hkd_edge.errors import RecipeError, TrainingError
from hkd_edge.models.network import GlobalAveragePool, Network
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.recipe.foreign import DOWNLOAD
from hkd_edge_runtime.errors import did_you_mean

_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")  # in training they answer tuples


def from_torchvision(architecture: Architecture, channels: int, outputs: int) -> Network:
    """The network `architecture.name`, whose last linear layer becomes the head.

    `architecture.weights` is a file with a state dict as torchvision publishes them, or `download`; all of it but the
    head is taken, for any number of classes. For one input channel the first convolution's weights are summed over the
    colours: the answer to a grey image is that to the same image in three equal channels.

    Raises:
        RecipeError: if torchvision has no such network, or one that does not end in a linear layer.
        TrainingError: if the file of weights is missing, damaged, or holds those of another network.
        ValueError: if `channels` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels: expected 1 or 3, got {channels}.")
    trunk = torchvision_network(str(architecture.name), outputs)
    head_name = last_layer(trunk)
    head = trunk.get_submodule(head_name)
    if not isinstance(head, nn.Linear):
        raise RecipeError(
            f"architecture.name: expected a network that ends in a linear layer, got {architecture.name!r}, "
            f"which ends in {type(head).__name__}. resnet18 and mobilenet_v3_small are two that do."
        )
    trunk.set_submodule(head_name, nn.Identity())
    if architecture.weights == DOWNLOAD:
        _fill(trunk, published_weights(str(architecture.name)), head_name)
    elif architecture.weights is not None:
        _load(trunk, Path(architecture.weights).expanduser(), head_name)
    if channels == 1:
        _sum_colours(trunk)
    _pool_by_mean(trunk)
    return Network(trunk, head)


def torchvision_network(name: str, outputs: int = 1000) -> nn.Module:
    """torchvision's network of that name with random weights, for `outputs` classes.

    Raises:
        RecipeError: if torchvision has no such network.
    """
    names = torchvision.models.list_models(module=torchvision.models, exclude=_WITH_AUXILIARY_HEADS)
    if name not in names:
        raise RecipeError(
            f"architecture.name: expected one of torchvision's classification networks, got {name!r}."
            f"{did_you_mean(name, names)} Networks: {', '.join(names)}."
        )
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=outputs)
    return network


def last_layer(network: nn.Module) -> str:
    """The name of the last module that has weights of its own."""
    *_, last = (name for name, module in network.named_modules() if [*module.parameters(recurse=False)])
    return str(last)


def published_weights(name: str) -> Mapping[str, Any]:
    """The state dict that torchvision publishes for the network of that name, from its cache or downloaded.

    Raises:
        RecipeError: if it publishes none.
        TrainingError: if they can neither be found nor be downloaded.
    """
    try:
        default = torchvision.models.get_model_weights(name).DEFAULT
    except (ValueError, AttributeError) as error:
        raise RecipeError(f"weights: expected a network with published weights, got {name!r}. Name a file.") from error
    try:
        weights: Mapping[str, Any] = default.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise TrainingError(
            f"weights: expected torchvision's {default} by download, got: {error}. "
            f"Fetch {default.url} elsewhere and put it into {folder}, or name it by weights."
        ) from error
    return weights


def _fill(trunk: nn.Module, weights: Mapping[str, Any], head_name: str) -> None:
    trunk.load_state_dict({key: value for key, value in weights.items() if not key.startswith(f"{head_name}.")})


def _load(trunk: nn.Module, path: Path, head_name: str) -> None:
    """Fills `trunk`, whose head was taken away, with the weights in `path`."""
    try:
        weights: object = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(weights, Mapping):
            raise RuntimeError(f"it holds a {type(weights).__name__}")
        _fill(trunk, weights, head_name)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"architecture.weights: expected a file with the state dict of this torchvision network, got {path}: "
            f"{error}. Name another file, or null to start from random weights."
        ) from error


def _sum_colours(trunk: nn.Module) -> None:
    """Makes the first convolution take one channel, as if that came three times."""
    first = next(layer for layer in trunk.modules() if isinstance(layer, nn.Conv2d))
    first.in_channels = 1
    first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))


def _pool_by_mean(trunk: nn.Module) -> None:
    """Pools to (N, D), so that torch.flatten in the network's forward has nothing left to do and exports no node.

    Networks that flatten by a module of their own want (N, D, 1, 1) before it and stay as they are.
    """
    pool = getattr(trunk, "avgpool", None)
    flattens = any(isinstance(layer, nn.Flatten) for layer in trunk.modules())
    if isinstance(pool, nn.AdaptiveAvgPool2d) and pool.output_size in (1, (1, 1)) and not flattens:
        trunk.avgpool = GlobalAveragePool()
