from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from hkd_edge.errors import RecipeError, TrainingError
from hkd_edge.models.build import build
from hkd_edge.models.network import Network, count_parameters
from hkd_edge.recipe.architecture import Architecture, spelt_out


def named(name: str, channels: int = 3, *, outputs: int = 10, weights: Path | None = None) -> Network:
    torch.manual_seed(0)
    path = None if weights is None else str(weights)
    return build(Architecture(kind="torchvision", name=name, weights=path), channels, outputs).eval()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of resnet18 as torchvision publishes it, for seven classes."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision.models.resnet18(num_classes=7).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("name", "embedding_size"),
    [
        *(("resnet18", 512), ("mobilenet_v3_small", 1024), ("mobilenet_v2", 1280), ("shufflenet_v2_x0_5", 1024)),
        *(("efficientnet_b0", 1280), ("regnet_y_400mf", 440), ("densenet121", 1024), ("mnasnet0_5", 1280)),
        *(("convnext_tiny", 768),),
    ],
)
def test_a_network_by_name_has_our_head_and_its_own_embedding(name: str, embedding_size: int) -> None:
    network, images = named(name), torch.randn(2, 3, 64, 64)
    embedding = network.embed(images)
    assert embedding.shape == (2, network.embedding_size) == (2, embedding_size)
    torch.testing.assert_close(network(images), network.head(embedding))
    assert network(images).shape == (2, 10)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny"])
def test_a_network_answers_as_torchvision_s_does(name: str) -> None:
    torch.manual_seed(0)
    theirs, images = torchvision.models.get_model(name, num_classes=10).eval(), torch.randn(2, 3, 64, 64)
    ours = named(name)
    torch.testing.assert_close(ours(images), theirs(images))
    assert count_parameters(ours) == count_parameters(theirs)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_a_grey_image_is_answered_like_three_equal_channels(name: str) -> None:
    grey, images = named(name, 1), torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(grey(images), named(name)(images.expand(2, 3, 64, 64)), atol=1e-4, rtol=1e-4)
    first = next(layer for layer in grey.modules() if isinstance(layer, nn.Conv2d))
    assert first.in_channels == first.weight.shape[1] == 1


def test_images_of_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="channels: expected 1 or 3, got 2"):
        named("resnet18", 2)


def test_published_weights_are_taken_but_for_the_head(published: Path) -> None:
    network, weights = named("resnet18", weights=published), torch.load(published, weights_only=True)
    body = network.backbone.state_dict()
    assert all(torch.equal(body[name], value) for name, value in weights.items() if not name.startswith("fc."))
    assert network.head.weight.shape == (10, 512)


def test_published_weights_serve_grey_images_too(published: Path) -> None:
    network, weights = named("resnet18", 1, weights=published), torch.load(published, weights_only=True)
    torch.testing.assert_close(network.backbone.conv1.weight, weights["conv1.weight"].sum(1, keepdim=True))


def test_the_seed_decides_the_head_whatever_the_file(published: Path) -> None:
    assert torch.equal(named("resnet18", weights=published).head.weight, named("resnet18").head.weight)


def write_nothing(path: Path) -> None:
    pass


def write_other_weights(path: Path) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), path)


def write_junk(path: Path) -> None:
    path.write_bytes(b"not weights")


def write_a_whole_network(path: Path) -> None:
    torch.save(nn.Linear(3, 2), path)


def write_a_list(path: Path) -> None:
    torch.save([1, 2], path)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (write_nothing, "No such file"),
        (write_other_weights, "Missing key"),
        (write_junk, ""),
        (write_a_whole_network, "Weights only load failed"),
        (write_a_list, "it holds a list"),
    ],
)
def test_a_file_that_holds_no_such_weights_is_refused(tmp_path: Path, write, reason: str) -> None:
    write(tmp_path / "x.pth")
    expected = r"architecture\.weights: expected a file with the state dict of this torchvision network, got .*x\.pth: "
    with pytest.raises(TrainingError, match=rf"(?s){expected}.*{reason}.*Name another file, or null"):
        named("resnet18", weights=tmp_path / "x.pth")


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"got 'mobilenet_v3_smal'\. Did you mean 'mobilenet_v3_small'\? Networks: "):
        named("mobilenet_v3_smal")


@pytest.mark.parametrize("name", ["googlenet", "fcn_resnet50", "r3d_18"])
def test_what_is_no_plain_classifier_is_unknown(name: str) -> None:
    with pytest.raises(RecipeError, match=f"expected one of torchvision's classification networks, got '{name}'"):
        named(name)


def test_a_network_without_a_linear_head_is_refused() -> None:
    with pytest.raises(RecipeError, match="ends in a linear layer, got 'squeezenet1_1', which ends in Conv2d"):
        named("squeezenet1_1")


def test_the_short_form_stands_for_the_section() -> None:
    assert spelt_out("torchvision/resnet18") == {"kind": "torchvision", "name": "resnet18"}
    assert spelt_out("resnet18") == "resnet18"
    assert spelt_out({"kind": "plain"}) == {"kind": "plain"}


def test_a_network_can_start_from_what_torchvision_publishes(published: Path, tmp_path: Path, monkeypatch) -> None:
    """A file in torch's cache is not downloaded again, which a test must not do."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    url = torchvision.models.get_model_weights("resnet18").DEFAULT.url
    (tmp_path / "checkpoints" / url.rpartition("/")[2]).write_bytes(published.read_bytes())
    network = build(Architecture(kind="torchvision", name="resnet18", weights="download"), 3, 10)
    assert torch.equal(network.backbone.conv1.weight, torch.load(published, weights_only=True)["conv1.weight"])
