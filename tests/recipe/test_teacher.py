"""The section that describes a teacher, in each of its ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd_edge.recipe import dump_recipe, load_recipe

INPUT = "input: {size: 64, mean: [0.5], std: [0.5]}"
CONCEPTS = "concepts.hierarchy=c.yaml"


def told(complaint, section: str) -> list[str]:
    option = f"teacher={section}"
    lines = complaint(overrides=(CONCEPTS, option)).splitlines()
    return [line.removeprefix(f"--set {option}: recipe.teacher") for line in lines]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            "{}",
            [
                ".architecture: missing, expected the network to train here, or else checkpoint or foreign beside it.",
                ".training: missing, expected the teacher's training, such as {epochs: 10}.",
            ],
        ),
        (
            "{checkpoint: a.pt, training: {epochs: 1}}",
            [".training: expected none for a teacher by checkpoint, which is not trained, got one. Leave it out."],
        ),
        (
            "{checkpoint: a.pt, members: 2}",
            [".members: expected 1 for a teacher by checkpoint, which is not trained, got 2. Leave it out."],
        ),
        (
            f"{{checkpoint: a.pt, foreign: {{onnx: a.onnx, {INPUT}}}}}",
            [".foreign: expected one of architecture, checkpoint, foreign, got checkpoint too. Leave one out."],
        ),
        (
            f"{{foreign: {{{INPUT}}}}}",
            [".foreign.onnx: missing, expected one of onnx, module, torchvision: the file or the code of the network."],
        ),
        (
            f"{{foreign: {{onnx: a, torchvision: b, {INPUT}}}}}",
            [".foreign.torchvision: expected one of onnx, module, torchvision, got onnx too. Leave one out."],
        ),
        (
            f"{{foreign: {{onnx: a.onnx, arguments: {{x: 1}}, {INPUT}}}}}",
            [".foreign.arguments: expected none for onnx, got one. Leave it out; module can have it."],
        ),
        (
            f"{{foreign: {{torchvision: resnet18, {INPUT}}}}}",
            [
                ".foreign.weights: missing, expected the file of the state dict for torchvision: random weights teach "
                "nothing."
            ],
        ),
        (
            f"{{foreign: {{module: 'a:b', weights: download, {INPUT}}}}}",
            [".foreign.weights: expected a file for module, got download. Name it; torchvision can have it."],
        ),
        (
            f"{{foreign: {{module: 'a.b', weights: w.pt, {INPUT}}}}}",
            ['.foreign.module: expected null or a text such as "package.module:factory", got "a.b".'],
        ),
        (
            f"{{foreign: {{onnx: a.onnx, mapping: m.yaml, head: linear, {INPUT}}}}}",
            [
                ".foreign.head: expected none beside a mapping, got linear. Concepts come from one of them: leave the "
                "other out."
            ],
        ),
        (
            f"{{foreign: {{onnx: a.onnx, mapping: m.yaml, embedding: output, {INPUT}}}}}",
            [".foreign.mapping: expected none for embedding output: the network then has no classes. Leave one out."],
        ),
        (
            f"{{foreign: {{onnx: a.onnx, classes: imagenet, {INPUT}}}}}",
            [".foreign.classes: expected none without a mapping, which alone uses the names, got one. Leave it out."],
        ),
        (
            "{foreign: {onnx: a.onnx, input: {size: 64, mean: [0.5, 0.5], std: [0.5]}}}",
            [".foreign.input.mean: expected 1 or 3 numbers, got 2."],
        ),
        (
            "{foreign: {onnx: a.onnx, input: {size: 64, mean: [0.5], std: [0]}}}",
            [".foreign.input.std[0]: expected a number > 0, got 0."],
        ),
        (
            "{foreign: {onnx: a.onnx}}",
            [
                ".foreign.input: missing, expected a section with the keys size, mean, std, channels, layout, "
                "interpolation, crop_fraction."
            ],
        ),
    ],
)
def test_what_does_not_belong_together_is_told(complaint, section, expected):
    assert told(complaint, section) == expected


def test_a_network_that_only_embeds_has_no_concepts_to_teach(complaint):
    section = f"teacher={{foreign: {{onnx: a.onnx, head: none, {INPUT}}}}}"
    lines = complaint(overrides=(CONCEPTS, section, "distill.weights.concept=1"))
    assert "recipe.teacher.foreign.head: expected a head or a mapping for distill.weights.concept > 0" in lines


def test_a_head_is_trained_unless_a_mapping_is_given(small):
    section = f"teacher={{foreign: {{onnx: a.onnx, {INPUT}}}}}"
    assert load_recipe(small, [CONCEPTS, section]).teacher.foreign.linear_head
    assert not load_recipe(small, [CONCEPTS, section, "teacher.foreign.mapping=m.yaml"]).teacher.foreign.linear_head


def test_paths_start_from_the_recipe_s_folder_and_move_with_it(small, write, tmp_path):
    foreign = f"{{torchvision: resnet18, weights: w/r.pth, mapping: m.yaml, classes: imagenet, {INPUT}}}"
    text = Path(small).read_text() + f"concepts: {{hierarchy: c.yaml}}\nteacher: {{foreign: {foreign}}}\n"
    recipe = load_recipe(write(text)).in_folder(tmp_path)
    paths = recipe.located_teacher(recipe.teacher).paths()
    assert paths == {"foreign.weights": str(tmp_path / "w/r.pth"), "foreign.mapping": str(tmp_path / "m.yaml")}
    moved = recipe.moved_to(tmp_path / "runs" / "x")
    assert moved.teacher.paths() == {"foreign.weights": "../../w/r.pth", "foreign.mapping": "../../m.yaml"}
    assert moved.teacher.foreign.classes == "imagenet"
    assert load_recipe(write(dump_recipe(recipe))) == recipe


def test_what_is_inside_a_package_or_is_downloaded_has_no_folder(small, tmp_path):
    inside = f"teacher={{foreign: {{module: 'a:b', weights: w.pt, weights_package: a, {INPUT}}}}}"
    assert load_recipe(small, [CONCEPTS, inside]).moved_to(tmp_path / "x").teacher.foreign.weights == "w.pt"
    fetched = f"teacher={{foreign: {{torchvision: resnet18, weights: download, {INPUT}}}}}"
    assert load_recipe(small, [CONCEPTS, fetched]).moved_to(tmp_path / "x").teacher.foreign.weights == "download"
    trained = "student.architecture={kind: torchvision, name: resnet18, weights: download}"
    moved = load_recipe(small, [trained]).moved_to(tmp_path / "x")
    assert moved.student.architecture.weights == moved.located(moved.student.architecture).weights == "download"
