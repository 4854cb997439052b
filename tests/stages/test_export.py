"""What only a run can do on the way to INT8: quantization-aware training by the recipe's losses and teachers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from hkd_edge.evaluate.artefacts import Artefact, answer
from hkd_edge.recipe import load_recipe
from hkd_edge.report.progress import Reporter
from hkd_edge.run.context import Context
from hkd_edge.stages import export
from hkd_edge_export.quantize import quantize_int8
from hkd_edge_runtime.evaluation import top1_percent


@pytest.fixture
def context(digits_run: Path, tmp_path: Path) -> Context:
    run = shutil.copytree(digits_run, tmp_path / "run")
    return Context(load_recipe(str(run / "recipe.yaml")), run, Reporter(Console(quiet=True)))


def test_fine_tuning_keeps_the_accuracy_and_ends_on_the_grid_of_int8(context: Context, tmp_path: Path) -> None:
    calibration, _ = export._calibration_images(context)
    fine_tuned = export._fine_tuned(context, "key", calibration, tmp_path / "fine_tuned.onnx")
    int8 = quantize_int8(fine_tuned, tmp_path / "int8.onnx", calibration, bias_correction=False)
    test = context.dataset.test
    before = top1_percent(answer(export.artefacts(context)[0], test.images).logits, test.labels)
    after = top1_percent(answer(Artefact("onnxruntime", "int8", int8), test.images).logits, test.labels)
    assert after > before - 1.5
    assert fine_tuned.read_bytes() != (context.run / "artefacts" / "student.onnx").read_bytes()
    assert (context.run / "checkpoints" / "fine_tuned.pt").is_file()


def test_fine_tuning_has_no_projector_to_match_embeddings_by(context: Context) -> None:
    weights = "{ce: 0, embedding: 1}"
    recipe = load_recipe(str(context.run / "recipe.yaml"), [f"distill.weights={weights}"])
    settings = export._fine_tuning(Context(recipe, context.run, context.reporter))
    assert (settings.weights.embedding, settings.weights.ce) == (0, 1)
    assert settings.training.epochs == recipe.export.fine_tuning.epochs
    assert settings.training.progressive_fraction == 0
