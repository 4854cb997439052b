"""The one factory of networks."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from hkd_edge.models.network import Network
from hkd_edge.recipe.architecture import Architecture

KINDS = {
    "residual": "hkd_edge.models.staged:residual",
    "plain": "hkd_edge.models.staged:plain",
    "mobile": "hkd_edge.models.staged:mobile",
    "torchvision": "hkd_edge.models.from_torchvision:from_torchvision",
}


def build(architecture: Architecture, channels: int, outputs: int) -> Network:
    """A freshly initialised network for images of `channels` (1 or 3), on the CPU, by torch's random numbers.

    A relative path in `architecture.weights` starts from the current folder (see `Recipe.located`).

    Raises:
        RecipeError: if torchvision has no such network, or one that does not end in a linear layer.
        TrainingError: if the file of weights is missing, damaged, or holds those of another network.
    """
    module, _, function = KINDS[architecture.kind].partition(":")
    make: Callable[[Architecture, int, int], Network] = getattr(importlib.import_module(module), function)
    return make(architecture, channels, outputs)
