from __future__ import annotations

import json

import pytest
import torch

from hkd_edge.errors import TrainingError
from hkd_edge.models.build import build
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.teachers.saved import SavedTeacher, TeacherInput, columns_for, read_teacher, save_teacher
from hkd_edge_runtime.hierarchy import Axis, Hierarchy

CLASSES = ("coat", "shirt", "boot")
# Neither axes nor concepts stand in the order of the alphabet: what sorts them would be seen.
HIERARCHY = Hierarchy(CLASSES, (Axis("warm", ("yes", "no"), (0, 1, 0)), Axis("kind", ("tops", "shoes"), (0, 0, 1))))
ARCHITECTURE = Architecture(kind="plain", stem_width=4, stem_stride=1, widths=(8,), blocks=(0,))
IMAGES = TeacherInput((8, 8, 1), (0.3,), (0.4,))


def teacher(role: str = "concept", hierarchy: Hierarchy = HIERARCHY) -> SavedTeacher:
    torch.manual_seed(0)
    network = build(ARCHITECTURE, 1, 4 if role == "concept" else 3)
    return SavedTeacher(role, hierarchy, IMAGES, ARCHITECTURE, None, network.state_dict())


def test_a_teacher_comes_back_as_it_was(tmp_path):
    save_teacher(tmp_path / "t.pt", teacher())
    found = read_teacher(tmp_path / "t.pt")
    assert (found.role, found.hierarchy, found.images) == ("concept", HIERARCHY, IMAGES)
    torch.manual_seed(0)
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(found.network()(images), teacher().network()(images))


def test_the_same_teacher_has_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_teacher(tmp_path / name, teacher())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_from_before_there_were_members_has_one(tmp_path):
    save_teacher(tmp_path / "t.pt", teacher())
    content = torch.load(tmp_path / "t.pt", weights_only=True)
    described = json.loads(content["described"])
    assert described.pop("members") == 1
    torch.save(content | {"described": json.dumps(described)}, tmp_path / "t.pt")
    assert read_teacher(tmp_path / "t.pt").members == 1


def test_axes_and_concepts_may_stand_in_another_order():
    axes = (Axis("kind", ("shoes", "tops"), (1, 1, 0)), Axis("warm", ("yes", "no"), (0, 1, 0)))
    assert columns_for(teacher(), Hierarchy(CLASSES, axes), "concept") == [3, 2, 0, 1]
    assert columns_for(teacher(), Hierarchy(CLASSES, axes[:1]), "concept") == [3, 2]


def test_a_task_teacher_s_classes_may_stand_in_another_order_or_be_more():
    assert columns_for(teacher("task"), Hierarchy(("boot", "coat")), "task") == [2, 0]


def test_classes_that_the_teacher_has_not_met_do_not_matter():
    wider = Hierarchy((*CLASSES, "sandal"), (Axis("kind", ("tops", "shoes"), (0, 0, 1, 1)),))
    assert columns_for(teacher(), wider, "concept") == [2, 3]


@pytest.mark.parametrize(
    ("role", "wanted", "expected"),
    [
        ("task", Hierarchy(CLASSES), "expected a task teacher, got a concept teacher. Name teacher/task.pt"),
        (
            "concept",
            Hierarchy(CLASSES, (Axis("knd", ("tops", "shoes"), (0, 0, 1)),)),
            "knows the axis 'knd' of this recipe, got one of warm, kind. Did you mean 'kind'?",
        ),
        (
            "concept",
            Hierarchy(CLASSES, (Axis("kind", ("tops", "shoes", "bags"), (0, 1, 2)),)),
            "expected a teacher for which class 'shirt' has the concept 'shoes' of axis 'kind', got one that",
        ),
        (
            "concept",
            Hierarchy(("hat",), (Axis("kind", ("hats",), (0,)),)),
            "expected axis 'kind' with the concepts hats, got a teacher that has shoes, tops too",
        ),
    ],
)
def test_another_teacher_than_the_recipe_s_is_refused(role, wanted, expected):
    with pytest.raises(TrainingError) as caught:
        columns_for(teacher(), wanted, role)
    assert expected in str(caught.value)


def test_an_unknown_class_is_told():
    with pytest.raises(TrainingError, match="knows the class 'cot' of this recipe, got one of coat"):
        columns_for(teacher("task"), Hierarchy(("cot",)), "task")


@pytest.mark.parametrize("content", [{"a": 1}, [1], {"format": "hkd-edge-teacher", "format_version": 2}])
def test_another_file_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(TrainingError, match=r"x\.pt: expected a teacher of format hkd-edge-teacher 1"):
        read_teacher(tmp_path / "x.pt")


def test_a_missing_file_and_weights_of_another_network_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="No such file"):
        read_teacher(tmp_path / "none.pt")
    state = teacher("task")
    wrong = SavedTeacher("concept", HIERARCHY, IMAGES, ARCHITECTURE, None, state.weights)
    with pytest.raises(TrainingError, match="expected the weights of the teacher's architecture"):
        wrong.network()


def test_the_folder_of_the_weights_that_training_began_with_is_not_told(tmp_path):
    named = Architecture(kind="torchvision", name="resnet18", weights="secret/w.pth")
    save_teacher(tmp_path / "t.pt", SavedTeacher("task", Hierarchy(CLASSES), IMAGES, named, None, {}))
    state = torch.load(tmp_path / "t.pt", weights_only=True)
    assert json.loads(state["described"])["architecture"]["weights"] is None
