"""What the options of `hkd-edge export` mean for a recipe and for a run that is there."""

from __future__ import annotations

import shutil
from pathlib import Path

from hkd_edge.delivery.request import Request, describe, overrides_for
from hkd_edge.recipe import load_recipe


def test_options_take_the_place_of_a_recipes_own() -> None:
    overrides = overrides_for(Request(("tensorrt",), ("int8",), 0.2), "fashion_mnist")
    recipe = load_recipe("fashion_mnist", overrides)
    assert recipe.export.targets == ("tensorrt",)
    assert recipe.export.precisions == ("fp32", "int8")
    assert recipe.validation.max_top1_drop == 0.2


def test_options_are_added_to_what_a_run_has(digits_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("recipe.yaml", "hierarchy.yaml"):
        shutil.copy(digits_run / name, run)
    text = (run / "recipe.yaml").read_text()
    lean = load_recipe(str(run / "recipe.yaml"), ["export.targets=[openvino]", "export.precisions=[fp32]"])
    assert lean.export.targets == ("openvino",)
    assert text == (run / "recipe.yaml").read_text()
    overrides = overrides_for(Request(("tensorrt",), ("fp16",), None), str(run))
    assert overrides == ["export.targets=[onnxruntime, openvino, tensorrt]", "export.precisions=[fp32, fp16, int8]"]


def test_no_options_change_nothing() -> None:
    assert overrides_for(Request((), (), None), "digits") == []


def test_a_plan_names_each_file_and_the_ways_to_int8() -> None:
    lines = list(describe("fashion_mnist", ["export.targets=[openvino]", "validate.max_top1_drop=0.2"]))
    assert "would make artefacts/openvino/int8.xml, artefacts/openvino/int8.bin" in lines
    assert any("loses at most 0.2 points of top-1: ptq; ptq, clipped ranges;" in line for line in lines)
