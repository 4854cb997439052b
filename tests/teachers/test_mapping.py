from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hkd_edge.concepts import load_hierarchy
from hkd_edge.data.fashion_mnist import CLASSES as FASHION
from hkd_edge.errors import RecipeError, TrainingError
from hkd_edge.recipe import recipes_folder
from hkd_edge.teachers.mapping import MappedClasses, groups_of, load_class_names, load_mapping
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

HIERARCHY = Hierarchy(
    ("coat", "shirt", "boot"), (Axis("kind", ("tops", "shoes"), (0, 0, 1)), Axis("warm", ("yes", "no"), (0, 1, 0)))
)
NAMES = ("jersey", "clog", "crane", "crane", "loafer", "zebra")


def mapping(tmp_path: Path, text: str, role: str = "concept", names=NAMES):
    (tmp_path / "m.yaml").write_text(text)
    return load_mapping(tmp_path / "m.yaml", groups_of(HIERARCHY, role), role, names, len(NAMES))


def test_concepts_have_the_network_s_own_probabilities_renormalised_over_what_is_mapped(tmp_path):
    found = mapping(tmp_path, "axes: {kind: {tops: [jersey, 2], shoes: [clog]}}")
    scores = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = MappedClasses(found, probabilities=False)(scores)
    own = scores.softmax(1)
    tops = (own[:, 0] + own[:, 2]) / (own[:, 0] + own[:, 2] + own[:, 1])
    torch.testing.assert_close(logits[:, :2].softmax(1)[:, 0], tops)
    from_probabilities = MappedClasses(found, probabilities=True)(own)
    torch.testing.assert_close(from_probabilities[:, :2].softmax(1), logits[:, :2].softmax(1))


def test_an_axis_that_is_not_mapped_is_silent(tmp_path):
    found = mapping(tmp_path, "axes: {kind: {tops: [jersey], shoes: [clog]}}")
    assert found.silent_axes == (1,)
    logits = MappedClasses(found, probabilities=False)(torch.randn(3, 6))
    assert logits.shape == (3, 4)
    assert not logits[:, 2:].any()


def test_a_probability_of_zero_stays_finite(tmp_path):
    found = mapping(tmp_path, "axes: {kind: {tops: [jersey], shoes: [clog]}}")
    logits = MappedClasses(found, probabilities=True)(torch.tensor([[1.0, 0, 0, 0, 0, 0]]))
    assert torch.isfinite(logits).all()


def test_a_task_teacher_s_classes_are_mapped_without_an_axis(tmp_path):
    found = mapping(tmp_path, "classes: {coat: [2, jersey], shirt: [5], boot: [clog]}", "task")
    assert found.members == (((2, 0), (5,), (1,)),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("axes: {kind: {tops: [jersy], shoes: [clog]}}", "tops[0]: unknown class 'jersy'. Did you mean 'jersey'?"),
        ("axes: {kind: {tops: [6], shoes: [clog]}}", "tops[0]: expected an index from 0 to 5, got 6."),
        ("axes: {kind: {tops: [-1], shoes: [clog]}}", "expected an index from 0 to 5, got -1."),
        ("axes: {kind: {tops: [1.5], shoes: [clog]}}", "expected the name or the index of a class, got 1.5."),
        ("axes: {kind: {tops: [crane], shoes: [clog]}}", "got 'crane' of classes 2, 3. Give the index."),
        ("axes: {kind: {tops: [clog], shoes: [1]}}", "one place of an axis, got 1, which is in 'tops' too."),
        ("axes: {kind: {tops: [], shoes: [clog]}}", "expected a list of at least one class of the network, got an"),
        ("axes: {kind: {tops: [jersey]}}", "got none for shoes, which would be ruled out for every image."),
        ("axes: {kind: {tops: [0], shoes: [1], bag: [2]}}", "kind.bag: unknown. Expected some of: tops, shoes."),
        ("axes: {knd: {tops: [0]}}", "axes.knd: unknown axis. Did you mean 'kind'? Axes of the hierarchy: kind, warm."),
        ("axes: {}", "expected at least one axis of kind, warm, got an empty section."),
        ("classes: {coat: [0]}", "expected the key axes alone, as the mapping of a concept teacher has it, got the"),
        ("[1]", "expected the key axes alone"),
    ],
)
def test_what_is_wrong_in_a_mapping_is_told_with_its_line(tmp_path, text, expected):
    with pytest.raises(RecipeError) as caught:
        mapping(tmp_path, text)
    assert "m.yaml:1: mapping" in str(caught.value)
    assert expected in str(caught.value)


def test_names_need_a_file_of_names(tmp_path):
    with pytest.raises(RecipeError, match="since foreign.classes names no classes, got 'jersey'"):
        mapping(tmp_path, "axes: {kind: {tops: [jersey], shoes: [1]}}", names=None)


def test_a_label_file_of_another_network_is_refused(tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\n")
    assert load_class_names(str(tmp_path / "labels.txt"), 2) == ("a", "b")
    with pytest.raises(TrainingError, match="expected 5 names, one for each class that the network answers, got 2"):
        load_class_names(str(tmp_path / "labels.txt"), 5)
    with pytest.raises(TrainingError, match="expected a text file with a name in each line"):
        load_class_names(str(tmp_path / "none.txt"), 5)


def test_the_shipped_mapping_fits_imagenet_and_fashion_mnist():
    hierarchy = load_hierarchy(recipes_folder() / "fashion_mnist.concepts.yaml", FASHION)
    names, path = load_class_names("imagenet", 1000), recipes_folder() / "mappings/fashion_mnist_imagenet.yaml"
    found = load_mapping(path, groups_of(hierarchy, "concept"), "concept", names, 1000)
    assert found.silent_axes == (1,)
    assert found.members[0] is not None
    assert found.members[0][2] == (608, 697, 842)  # jean, pajama, swimming trunks
