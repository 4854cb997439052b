"""The section that describes a network, in each of its kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd_edge.recipe import dump_recipe, load_recipe, recipe_schema

STAGES = "{stem_width: 8, widths: [16, 32], blocks: [1, 0]}"
WHERE = "x.yaml:5: recipe.student.architecture"


def test_what_the_kind_can_have_is_filled_in_and_nothing_else(small):
    recipe = load_recipe(small)
    assert recipe.student.architecture.model_dump() == {
        "kind": "residual",
        "stem_width": 8,
        "stem_stride": 1,
        "widths": (16, 32),
        "blocks": (1, 0),
        "expansion": None,
        "name": None,
        "weights": None,
    }


def test_a_mobile_network_widens_its_blocks_fourfold_unless_told(small):
    mobile = "student.architecture.kind=mobile"
    assert load_recipe(small, [mobile]).student.architecture.expansion == 4
    assert load_recipe(small, [mobile, "student.architecture.expansion=2"]).student.architecture.expansion == 2


def test_a_network_of_torchvision_s_has_no_stages(small):
    recipe = load_recipe(small, ["student.architecture={kind: torchvision, name: resnet18}"])
    architecture = recipe.student.architecture
    assert (architecture.name, architecture.widths, architecture.stem_stride) == ("resnet18", None, None)


def test_a_text_stands_for_a_network_of_torchvision_s(small, write):
    text = Path(small).read_text(encoding="utf-8").replace(STAGES, "torchvision/resnet18")
    recipe = load_recipe(write(text))
    assert recipe == load_recipe(small, ["student.architecture={kind: torchvision, name: resnet18}"])
    assert load_recipe(write(dump_recipe(recipe))) == recipe


def test_an_override_can_add_to_the_short_form(small):
    recipe = load_recipe(small, ["student.architecture=torchvision/resnet18", "student.architecture.weights=w.pth"])
    assert recipe.student.architecture.name == "resnet18"
    assert recipe.student.architecture.weights == str(Path.cwd() / "w.pth")


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        (
            "{kind: mobile, widths: [16], blocks: [1]}",
            [".stem_width: expected a value, which kind mobile needs, got none. For example stem_width: 16."],
        ),
        (
            "{}",
            [
                ".stem_width: expected a value, which kind residual needs, got none. For example stem_width: 16.",
                ".widths: expected a value, which kind residual needs, got none. For example widths: [16, 32, 64].",
                ".blocks: expected a value, which kind residual needs, got none. For example blocks: [1, 1, 0].",
            ],
        ),
        (
            "{kind: torchvision}",
            [".name: expected a value, which kind torchvision needs, got none. For example name: resnet18."],
        ),
        (
            "{stem_width: 8, widths: [16], blocks: [1], expansion: 2}",
            [".expansion: expected none for kind residual, got 2. Leave it out; mobile can have it."],
        ),
        (
            "{kind: torchvision, name: resnet18, widths: [16]}",
            [
                ".widths: expected none for kind torchvision, got [16]. "
                "Leave it out; residual, plain, mobile can have it."
            ],
        ),
        (
            "{kind: plain, stem_width: 8, widths: [16], blocks: [1], weights: w.pth}",
            ['.weights: expected none for kind plain, got "w.pth". Leave it out; torchvision can have it.'],
        ),
        (
            "{kind: residul, stem_width: 8, widths: [16], blocks: [1]}",
            [
                '.kind: expected one of "residual", "plain", "mobile", "torchvision", got "residul". '
                "Did you mean 'residual'?"
            ],
        ),
        (
            "torchvision/ResNet-18",
            ['.name: expected null or a name of letters, digits and "_", got "ResNet-18".'],
        ),
        (
            "resnet18",
            [
                ": expected a section with the keys kind, stem_width, stem_stride, widths, blocks, expansion, name, "
                'weights or a text such as "torchvision/resnet18", got "resnet18".'
            ],
        ),
        (
            "{stem_width: 8, widths: [16], blocks: [1], stem_stride: 3}",
            [".stem_stride: expected null or a whole number >= 1 and <= 2, got 3."],
        ),
    ],
)
def test_what_does_not_fit_the_kind_is_told(complaint, architecture, expected):
    assert complaint((STAGES, architecture)).splitlines() == [WHERE + line for line in expected]


def test_what_does_not_fit_is_told_with_all_other_problems(complaint):
    told = complaint(
        (STAGES, "{kind: mobile, widths: [16, 32], blocks: [1, x]}"), ("name: small", "name: small\nsed: 1")
    )
    paths = [line.split(": ")[1] for line in told.splitlines()]
    assert paths == ["recipe.sed", "recipe.student.architecture.blocks[1]", "recipe.student.architecture.stem_width"]


def test_weights_start_from_the_recipe_s_folder_and_move_with_it(small, write, tmp_path):
    section = "{kind: torchvision, name: resnet18, weights: w/r.pth}"
    text = Path(small).read_text(encoding="utf-8").replace(STAGES, section)
    recipe = load_recipe(write(text)).in_folder(tmp_path)
    assert recipe.located(recipe.student.architecture).weights == str(tmp_path / "w" / "r.pth")
    moved = recipe.moved_to(tmp_path / "runs" / "small")
    assert moved.student.architecture.weights == "../../w/r.pth"
    located = Path(str(moved.located(moved.student.architecture).weights))
    assert located.resolve() == (tmp_path / "w" / "r.pth").resolve()


def test_random_weights_are_in_no_folder(small):
    recipe = load_recipe(small)
    assert recipe.located(recipe.student.architecture) == recipe.student.architecture


def test_editors_know_both_forms():
    section, text = recipe_schema()["$defs"]["Student"]["properties"]["architecture"]["anyOf"]
    assert section == {"$ref": "#/$defs/Architecture"}
    assert (text["type"], text["pattern"]) == ("string", "^torchvision/[a-z0-9_]+$")
